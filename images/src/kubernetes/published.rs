//! Programs of an upstream release, from a web server that publishes them with their SHA-512.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use board::Arch;
use kubernetes::Version;
use remote::{Options, Proxy, Remote};
use sha2::{Digest, Sha512};

use super::LockedProgram;

/// The longest file with a sum.
const LONGEST_SUM: u64 = 1024;
/// How much is read at a time.
const PIECE: usize = 1024 * 1024;

/// A release could not be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// No server is named.
    #[error("no server has the programs of Kubernetes {version}: name one with --kubernetes-mirror URL")]
    NoServer {
        /// The release.
        version: Version,
    },
    /// A file could not be downloaded.
    #[error("cannot download {url}")]
    Download {
        /// The file.
        url: String,
        /// Why.
        #[source]
        source: Box<remote::Error>,
    },
    /// A file is larger than any can be.
    #[error("{url} has {size} bytes; {most} is the most")]
    Large {
        /// The file.
        url: String,
        /// Its size.
        size: u64,
        /// The most that it may have.
        most: u64,
    },
    /// A file is no SHA-512.
    #[error("{url} is not a SHA-512: expected 128 hex digits")]
    NotASum {
        /// The file.
        url: String,
    },
    /// A program is not what it should be.
    #[error("{url} has another SHA-512 ({found}) than {expected_by}: what came is not what was published")]
    Sum {
        /// The program.
        url: String,
        /// Its sum, as hex.
        found: String,
        /// Who says what it should be.
        expected_by: String,
    },
    /// The cache could not be used.
    #[error("cannot keep {path}")]
    Cache {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A server laid out like upstream's, and the folder in which is kept what came from it.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its address, above the folders of releases; none where nothing may be downloaded.
    pub url: Option<String>,
    /// The folder of what is kept between builds.
    pub cache: PathBuf,
}

impl Server {
    /// Gets a program: out of the cache if its sum is known, else from the server, whose word on the sum is asked first.
    pub(super) fn program(
        &self,
        version: Version,
        name: &str,
        arch: Arch,
        locked: Option<&LockedProgram>,
        most: u64,
    ) -> Result<Vec<u8>, PublishedError> {
        if let Some(kept) = locked.and_then(|locked| self.kept(&locked.sha512)) {
            return Ok(kept);
        }
        let server = self.url.as_deref().ok_or(PublishedError::NoServer { version })?;
        let url = format!(
            "{}/v{version}/bin/linux/{arch}/{name}",
            server.trim_end_matches('/')
        );
        let (sum, expected_by) = match locked {
            Some(locked) => (locked.sha512.clone(), "the lock".to_owned()),
            None => {
                let url = format!("{url}.sha512");
                let text = download(&url, LONGEST_SUM)?;
                (
                    sum(&text).ok_or_else(|| PublishedError::NotASum { url: url.clone() })?,
                    url,
                )
            }
        };
        if let Some(kept) = self.kept(&sum) {
            return Ok(kept);
        }
        let data = download(&url, most)?;
        let found = hex::encode(Sha512::digest(&data));
        if found != sum {
            return Err(PublishedError::Sum {
                url,
                found,
                expected_by,
            });
        }
        self.keep(&sum, &data)?;
        Ok(data)
    }

    fn folder(&self) -> PathBuf {
        self.cache.join("kubernetes")
    }

    /// Reads what is kept; what has changed since is not taken.
    fn kept(&self, sum: &str) -> Option<Vec<u8>> {
        let data = fs::read(self.folder().join(sum)).ok()?;
        (hex::encode(Sha512::digest(&data)) == sum).then_some(data)
    }

    fn keep(&self, sum: &str, data: &[u8]) -> Result<(), PublishedError> {
        let path = self.folder().join(sum);
        write(&self.folder(), &path, data).map_err(|source| PublishedError::Cache { path, source })
    }
}

/// Writes a file that is there whole or not at all.
fn write(folder: &Path, path: &Path, data: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(data)?;
    file.persist(path).map_err(|error| error.error).map(drop)
}

/// Reads a sum as upstream publishes it: hex digits, perhaps with a file name behind them.
fn sum(text: &[u8]) -> Option<String> {
    let word = std::str::from_utf8(text).ok()?.split_ascii_whitespace().next()?;
    let fine = word.len() == 128 && word.bytes().all(|b| b.is_ascii_hexdigit());
    fine.then(|| word.to_ascii_lowercase())
}

fn download(url: &str, most: u64) -> Result<Vec<u8>, PublishedError> {
    let fault = |source| PublishedError::Download {
        url: url.to_owned(),
        source: Box::new(source),
    };
    let options = Options {
        proxy: Proxy::FromEnvironment,
        ..Options::default()
    };
    let mut remote = Remote::open(url, options).map_err(fault)?;
    let size = remote.len();
    if size > most {
        return Err(PublishedError::Large {
            url: url.to_owned(),
            size,
            most,
        });
    }
    remote.expect(std::iter::once(0..size));
    let mut data = vec![0; usize::try_from(size).expect("what is below the limit fits into memory")];
    let mut offset = 0;
    for piece in data.chunks_mut(PIECE) {
        remote.read_at(offset, piece).map_err(fault)?;
        offset += piece.len() as u64;
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_128_hex_digits() {
        let digits = "0aF".repeat(43)[..128].to_owned();
        for right in [
            digits.clone(),
            format!("{digits}\n"),
            format!("{digits}  kubelet\n"),
        ] {
            assert_eq!(
                sum(right.as_bytes()),
                Some(digits.to_ascii_lowercase()),
                "{right}"
            );
        }
        for wrong in [
            "",
            "<html>",
            &digits[1..],
            &format!("{digits}0"),
            &digits.replace('a', "g"),
        ] {
            assert_eq!(sum(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(sum(&[0xff; 128]), None);
    }
}
