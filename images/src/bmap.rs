//! Block maps (bmap 2.0): which blocks of a disk image matter, and their hashes, as `bmaptool` reads them.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::hash;

const BLOCK: u64 = 4096;

/// Writes the block map of an image of `size` bytes, of which only `ranges` matter (in order, without overlaps).
pub fn write(image: &mut (impl Read + Seek), size: u64, ranges: &[Range<u64>]) -> io::Result<String> {
    let blocks = whole_blocks(ranges);
    let mapped: u64 = blocks.iter().map(|range| range.end - range.start).sum();
    let mut rows = String::new();
    for range in &blocks {
        image.seek(SeekFrom::Start(range.start * BLOCK))?;
        let len = (range.end * BLOCK).min(size) - range.start * BLOCK;
        let hash = hash::of_reader(image.take(len))?;
        let last = range.end - 1;
        let numbers = if range.start == last {
            last.to_string()
        } else {
            format!("{}-{last}", range.start)
        };
        rows.push_str(&format!(
            "        <Range chksum=\"{}\"> {numbers} </Range>\n",
            hash
        ));
    }
    let text = |checksum: &str| {
        format!(
            r#"<?xml version="1.0" ?>
<bmap version="2.0">
    <ImageSize> {size} </ImageSize>
    <BlockSize> {BLOCK} </BlockSize>
    <BlocksCount> {} </BlocksCount>
    <MappedBlocksCount> {mapped} </MappedBlocksCount>
    <ChecksumType> sha256 </ChecksumType>
    <BmapFileChecksum> {checksum} </BmapFileChecksum>
    <BlockMap>
{rows}    </BlockMap>
</bmap>
"#,
            size.div_ceil(BLOCK)
        )
    };
    // The file's own checksum is over the file with zeros in its place.
    let checksum = hex::encode(Sha256::digest(text(&"0".repeat(64))));
    Ok(text(&checksum))
}

/// Widens ranges of bytes to whole blocks, and joins those that touch.
fn whole_blocks(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut blocks: Vec<Range<u64>> = Vec::new();
    for range in ranges.iter().filter(|range| !range.is_empty()) {
        let range = range.start / BLOCK..range.end.div_ceil(BLOCK);
        match blocks.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => blocks.push(range),
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_become_whole_blocks() {
        assert_eq!(whole_blocks(&[0..1, 4096..8192, 20_000..20_001]), [0..2, 4..5]);
    }

    #[test]
    fn the_map_names_blocks_and_hashes() {
        let image = vec![7; 3 * 4096 + 10];
        let text = write(
            &mut io::Cursor::new(&image),
            image.len() as u64,
            &[0..4096, 3 * 4096..3 * 4096 + 10],
        )
        .unwrap();
        assert!(text.contains("<BlocksCount> 4 </BlocksCount>"));
        assert!(text.contains("<MappedBlocksCount> 2 </MappedBlocksCount>"));
        let first = hex::encode(Sha256::digest(vec![7; 4096]));
        let last = hex::encode(Sha256::digest([7; 10]));
        assert!(text.contains(&format!("<Range chksum=\"{first}\"> 0 </Range>")));
        assert!(text.contains(&format!("<Range chksum=\"{last}\"> 3 </Range>")));

        let start = text.find("<BmapFileChecksum> ").unwrap() + 19;
        let zeroed = format!("{}{}{}", &text[..start], "0".repeat(64), &text[start + 64..]);
        assert_eq!(text[start..start + 64], hex::encode(Sha256::digest(zeroed)));
    }
}
