//! The ledger of receipts: a line of JSON for each finished card, and a signature over all of them.
//!
//! The ledger says which rows are done. Each receipt is also a file of its own, signed like the ledger, to go with the card.
//! A card's own receipt is on the disk before its line in the ledger, and that before the ledger's new signature: after a power
//! cut between them, the last line is vouched for by the receipt of its card.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use machine_config::value::HostName;
use manifest::{TrustedKey, verify_text};
use signing::SecretKey;
use sys::durable;

use super::error::FleetError;
use super::receipt::{self, Receipt};

/// The longest ledger, in bytes.
const LIMIT: u64 = 64 * 1024 * 1024;
/// What a signature is called, as minisign expects it.
const SIGNATURE: &str = "minisig";
/// Why a signature does not hold.
const CHANGED: &str = "it was changed since it was signed, or signed by another key: put the right one back";
/// The mode of what is written: receipts hold no secrets.
const MODE: u32 = 0o644;

/// How long a lock may take that is about to be released: by a run that ends, or by a program that was started just now and inherited
/// the file until it replaced its own image.
const RELEASED: Duration = Duration::from_secs(1);

/// An open ledger, locked against other runs.
pub(super) struct Ledger {
    path: PathBuf,
    /// Open for appending; none when nothing will be written.
    file: Option<File>,
    bytes: Vec<u8>,
    receipts: Vec<Receipt>,
    key: Option<SecretKey>,
}

/// A receipt that is on the disk.
pub(super) struct Filed {
    /// The receipt's own file.
    pub path: PathBuf,
    /// Set when it was signed.
    pub signed: bool,
}

impl Ledger {
    /// Opens a ledger, and creates it unless this is a dry run. With a key, what is there must be signed by it.
    pub fn open(path: &Path, key: Option<SecretKey>, dry_run: bool) -> Result<Self, FleetError> {
        let fail = |action| {
            move |source| FleetError::Ledger {
                action,
                path: path.into(),
                source,
            }
        };
        let mut bytes = Vec::new();
        let file = if dry_run {
            match File::open(path) {
                Ok(file) => read(file, &mut bytes).map_err(fail("read"))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(fail("read")(error)),
            }
            None
        } else {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false);
            let file = file.open(path).map_err(fail("open"))?;
            if !locks(&file).map_err(fail("lock"))? {
                return Err(FleetError::LedgerInUse { path: path.into() });
            }
            read(&file, &mut bytes).map_err(fail("read"))?;
            Some(file)
        };
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let torn = bytes.split_off(whole);
        let mut receipts = parse(path, &bytes)?;
        // A power cut can leave the beginning of a line, whose row is still to do. Anything else is no ledger, and is left alone.
        if !(torn.starts_with(receipt::HEAD) || receipt::HEAD.starts_with(&torn)) {
            receipts.extend(parse(path, &torn)?);
        }
        let ledger = Self {
            path: path.into(),
            file,
            bytes,
            receipts,
            key,
        };
        ledger.check()?;
        match &ledger.file {
            Some(file) if !torn.is_empty() => file.set_len(whole as u64).map_err(fail("write"))?,
            _ => {}
        }
        Ok(ledger)
    }

    /// Returns the newest receipt of a row, if it is done.
    pub fn receipt(&self, hostname: &HostName) -> Option<&Receipt> {
        let same = |receipt: &&Receipt| receipt.hostname.as_str().eq_ignore_ascii_case(hostname.as_str());
        self.receipts.iter().rev().find(same)
    }

    /// Returns the key that signs.
    pub fn signer(&self) -> Option<TrustedKey> {
        self.key.as_ref().map(SecretKey::public)
    }

    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Files the receipt of a finished card. Once this returns, it is on the disk.
    pub fn file(&mut self, receipt: Receipt) -> Result<Filed, FleetError> {
        let path = self.path.clone();
        let fail = |source| FleetError::Ledger {
            action: "write",
            path: path.clone(),
            source,
        };
        let mut line = serde_json::to_vec(&receipt).map_err(|error| fail(error.into()))?;
        line.push(b'\n');
        let own = self.of_card(&receipt);
        if let Some(folder) = own.parent() {
            fs::create_dir_all(folder).map_err(fail)?;
        }
        durable::write(&own, &line, MODE).map_err(fail)?;
        if let Some(signature) = self.sign("receipt", &line, receipt.hostname.as_str()) {
            durable::write(&signature_of(&own), signature.as_bytes(), MODE).map_err(fail)?;
        }
        if let Some(file) = &self.file {
            file.write_all_at(&line, self.bytes.len() as u64).map_err(fail)?;
            file.sync_all().map_err(fail)?;
        }
        self.bytes.extend_from_slice(&line);
        self.receipts.push(receipt);
        self.sign_all().map_err(fail)?;
        Ok(Filed {
            path: own,
            signed: self.key.is_some(),
        })
    }

    /// Renews the signature over the whole ledger.
    fn sign_all(&self) -> io::Result<()> {
        let comment = format!("{} receipts", self.receipts.len());
        match self.sign("ledger", &self.bytes, &comment) {
            Some(signature) => durable::write(&signature_of(&self.path), signature.as_bytes(), MODE),
            None => Ok(()),
        }
    }

    fn sign(&self, what: &str, message: &[u8], comment: &str) -> Option<String> {
        let key = self.key.as_ref()?;
        Some(key.sign(what, message, &format!("{what} of flashed cards: {comment}")))
    }

    /// Returns the file of a card's own receipt.
    fn of_card(&self, receipt: &Receipt) -> PathBuf {
        let folder = self.path.with_extension("receipts");
        folder.join(format!("{}.json", receipt.hostname.as_str().to_ascii_lowercase()))
    }

    /// Checks that the ledger is signed if and only if there is a key, and that the signature holds.
    fn check(&self) -> Result<(), FleetError> {
        let unsigned = |why| {
            Err(FleetError::Unsigned {
                path: self.path.clone(),
                why,
            })
        };
        let signature = match fs::read(signature_of(&self.path)) {
            Ok(signature) => Some(signature),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => {
                return Err(FleetError::Ledger {
                    action: "read the signature of",
                    path: self.path.clone(),
                    source,
                });
            }
        };
        let Some(key) = self.signer() else {
            return match signature {
                Some(_) => {
                    unsigned("it is signed, so nothing is added without the key: give --receipt-key FILE")
                }
                None => Ok(()),
            };
        };
        let holds = |text: &[u8], signature: &[u8]| verify_text(text, signature, &[key]).is_ok();
        if signature
            .as_ref()
            .is_some_and(|signature| holds(&self.bytes, signature))
        {
            return Ok(());
        }
        let Some(last) = self.receipts.last() else {
            return match signature {
                Some(_) => unsigned(CHANGED),
                None => Ok(()),
            };
        };
        let before = self.bytes[..self.bytes.len() - 1]
            .iter()
            .rposition(|byte| *byte == b'\n');
        let (before, line) = self.bytes.split_at(before.map_or(0, |at| at + 1));
        let own = fs::read(signature_of(&self.of_card(last)));
        let vouched = own.is_ok_and(|own| holds(line, &own));
        let rest = match &signature {
            Some(signature) => holds(before, signature),
            None => before.is_empty(),
        };
        match (vouched && rest, signature) {
            (true, _) if self.file.is_some() => self.sign_all().map_err(|source| FleetError::Ledger {
                action: "sign",
                path: self.path.clone(),
                source,
            }),
            (true, _) => Ok(()),
            (false, None) => unsigned("it has receipts that are not signed: leave --receipt-key out"),
            (false, Some(_)) => unsigned(CHANGED),
        }
    }
}

/// Reads a whole ledger, if it is not too long.
fn read(file: impl Read, bytes: &mut Vec<u8>) -> io::Result<()> {
    file.take(LIMIT + 1).read_to_end(bytes)?;
    if bytes.len() as u64 > LIMIT {
        return Err(io::Error::other(format!("it has more than {LIMIT} bytes")));
    }
    Ok(())
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Receipt>, FleetError> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate();
    lines
        .map(|(index, line)| {
            serde_json::from_slice(line).map_err(|source| FleetError::NotAReceipt {
                path: path.into(),
                line: index + 1,
                source,
            })
        })
        .collect()
}

/// Returns the file of a signature: the name with `.minisig` behind it.
fn signature_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(SIGNATURE);
    name.into()
}

/// Locks a ledger; returns false if another run has it.
fn locks(file: &File) -> io::Result<bool> {
    let begun = Instant::now();
    loop {
        let locked = sys::lock::try_whole(file).map_err(io::Error::other)?;
        if locked || begun.elapsed() > RELEASED {
            return Ok(locked);
        }
        sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests;
