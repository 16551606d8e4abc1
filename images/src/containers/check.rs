//! Checks an image as a node would use it: its architecture, and each layer down to its last file.

use std::io::{self, Read};

use board::Arch;
use oci_image::{ImageConfig, LAYERS_MAX};
use sha2::{Digest, Sha256};

use super::archive::json;
use super::{Fault, Found, Layer, Packing};

/// The most bytes of all layers when unpacked, 4 GiB.
const MOST_UNPACKED: u64 = 4 << 30;
/// The largest window of zstd, as a power of two: containerd's own bound, 128 MiB.
const WINDOW: u32 = 27;

/// Checks an image. Returns the size of its layers when unpacked, in bytes.
///
/// # Errors
/// Fails when it is for another architecture, or a layer is not the one that the configuration names.
pub(super) fn check(found: &Found<'_>, arch: Arch) -> Result<u64, Fault> {
    let config: ImageConfig = json("its configuration", found.config)?;
    let platform = config
        .platform
        .ok_or_else(|| Fault::Image("its configuration names no platform".into()))?;
    if platform.os != "linux" || platform.architecture != arch.as_str() {
        return Err(Fault::Image(format!(
            "it is for {}/{}, and the board needs linux/{arch}; get the image of that platform (`--platform linux/{arch}`)",
            platform.os, platform.architecture
        )));
    }
    let (layers, ids) = (&found.layers, &config.rootfs.diff_ids);
    if layers.is_empty() || layers.len() > LAYERS_MAX {
        return Err(Fault::Image(format!(
            "it has {} layers; from 1 to {LAYERS_MAX} are possible",
            layers.len()
        )));
    }
    if layers.len() != ids.len() {
        return Err(Fault::Image(format!(
            "it has {} layers, and its configuration names {}",
            layers.len(),
            ids.len()
        )));
    }
    let mut left = MOST_UNPACKED;
    for (layer, id) in layers.iter().zip(ids) {
        left -= content(layer, id, left)?;
    }
    Ok(MOST_UNPACKED - left)
}

/// Reads a layer to its end. Returns its size when unpacked.
fn content(layer: &Layer<'_>, id: &str, most: u64) -> Result<u64, Fault> {
    let reader: Box<dyn Read + '_> = match layer.packing {
        Packing::Plain => Box::new(layer.data),
        Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(layer.data)),
        Packing::Zstd => {
            let mut decoder = zstd::Decoder::new(layer.data)?;
            decoder.window_log_max(WINDOW)?;
            Box::new(decoder)
        }
    };
    let mut counted = Counted {
        reader: reader.take(most + 1),
        hash: Sha256::new(),
        size: 0,
    };
    let damaged = |error: io::Error| {
        Fault::Image(format!(
            "layer {} is damaged or not a tar archive: {error}",
            layer.digest
        ))
    };
    let mut archive = tar::Archive::new(&mut counted);
    for entry in archive.entries().map_err(damaged)? {
        entry.map_err(damaged)?;
    }
    io::copy(&mut counted, &mut io::sink()).map_err(damaged)?;
    if counted.size > most {
        return Err(Fault::Image(format!(
            "its layers have more than {} when unpacked",
            quantity::human_bytes(MOST_UNPACKED)
        )));
    }
    let found = format!("sha256:{}", hex::encode(counted.hash.finalize()));
    if found != id {
        return Err(Fault::Image(format!(
            "layer {} is not the one that the configuration names: unpacked it is {found}, not {id}",
            layer.digest
        )));
    }
    Ok(counted.size)
}

/// Counts and hashes what is read.
struct Counted<R> {
    reader: R,
    hash: Sha256,
    size: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.size += read as u64;
        Ok(read)
    }
}
