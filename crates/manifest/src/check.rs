//! Limits and cross-references: what must hold beyond the shape of the JSON.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::model::{Manifest, Part, PartKind};
use crate::{Image, ImageName, MAX_IMAGES, keyring, trailer};

/// Longest manifest that is read.
pub const MAX_JSON: usize = 48 * 1024;

/// Longest kernel command line; leaves room for what the loader appends before the kernels' limit of 2048.
pub const MAX_CMDLINE: usize = 1408;

/// Alignment of parts in the slot: one dm-verity block.
pub const PART_ALIGNMENT: u64 = 4096;

const FORMAT: u32 = 1;
const MIB: u64 = 1024 * 1024;
const MAX_NAME: usize = 64;
const MAX_PARTS: usize = 128;
const MAX_OVERLAYS: usize = 64;
const MAX_SLOT: u64 = 64 * 1024 * MIB;
const MAX_FIRST_PARTITION: u64 = 1024 * MIB;
const MAX_PATCH_SETS: usize = 32;
const MAX_PATCH_INDEX: u64 = 16 * MIB;
const MAX_FRAMES: u32 = 1 << 20;

/// The reason why bytes are not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// More bytes than a manifest may have.
    #[error("manifest has {len} bytes, more than {MAX_JSON}")]
    TooLong {
        /// Bytes that were given.
        len: usize,
    },
    /// Not JSON, or JSON of another shape.
    #[error("manifest is not valid JSON of format {FORMAT}")]
    Json(#[source] serde_json::Error),
    /// The right shape, but a value is impossible.
    #[error("the manifest is not valid")]
    Unsound(#[source] Fault),
}

/// A value of a manifest that is impossible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Fault {
    /// Path of the value, such as `slot.parts[2].offset`.
    pub field: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl Manifest {
    /// Reads a manifest and checks everything about it but its signature.
    ///
    /// For builders and inspectors. Whoever acts upon a manifest takes it from [`crate::verify`].
    pub fn parse_unverified(json: &[u8]) -> Result<Manifest, ParseError> {
        if json.len() > MAX_JSON {
            return Err(ParseError::TooLong { len: json.len() });
        }
        let manifest: Manifest = serde_json::from_slice(json).map_err(ParseError::Json)?;
        manifest.check().map_err(ParseError::Unsound)?;
        Ok(manifest)
    }

    /// Writes the manifest as the JSON that is signed. Equal manifests give equal bytes.
    pub fn to_json(&self) -> Result<Vec<u8>, ParseError> {
        self.check().map_err(ParseError::Unsound)?;
        let json = serde_json::to_vec(self).map_err(ParseError::Json)?;
        if json.len() > MAX_JSON {
            return Err(ParseError::TooLong { len: json.len() });
        }
        Ok(json)
    }

    /// Checks limits and cross-references; the first fault is returned.
    pub fn check(&self) -> Result<(), Fault> {
        require(self.format == FORMAT, "format", || {
            format!("{} is not known; known: {FORMAT}", self.format)
        })?;
        name("board", &self.board)?;
        require(self.overlays.len() <= MAX_OVERLAYS, "overlays", || {
            format!("more than {MAX_OVERLAYS}")
        })?;
        for (index, overlay) in self.overlays.iter().enumerate() {
            name(&format!("overlays[{index}]"), overlay)?;
        }
        cmdline(&self.cmdline)?;
        self.check_disk()?;
        self.check_parts()?;
        self.check_tree()?;
        self.check_images()?;
        let frames = self.index.frames;
        require(frames <= MAX_FRAMES, "index.frames", || {
            format!("{frames} is more than {MAX_FRAMES}")
        })?;
        self.check_keys()?;
        self.check_patches()?;
        if let Some(trees) = &self.device_trees {
            let named = self.device_tree(&trees.default).is_some();
            require(named, "deviceTrees.default", || {
                format!("no deviceTree part named {:?}", trees.default)
            })?;
        }
        Ok(())
    }

    fn check_keys(&self) -> Result<(), Fault> {
        require(self.keys.len() <= keyring::MAX_KEYS, "keys", || {
            format!("more than the {} that a loader carries", keyring::MAX_KEYS)
        })?;
        require(self.floor <= self.version, "floor", || {
            format!(
                "{} is above the release's own version {}",
                self.floor, self.version
            )
        })
    }

    fn check_patches(&self) -> Result<(), Fault> {
        require(self.patches.len() <= MAX_PATCH_SETS, "patches", || {
            format!("more than {MAX_PATCH_SETS} sets")
        })?;
        let mut end = 0;
        for (index, set) in self.patches.iter().enumerate() {
            let field = format!("patches[{index}]");
            let twin = self.patches[..index].iter().any(|other| other.from == set.from);
            require(!twin, &format!("{field}.from"), || {
                "the same image is listed twice".into()
            })?;
            let aligned = set.offset.is_multiple_of(PART_ALIGNMENT);
            require(aligned && set.offset >= end, &format!("{field}.offset"), || {
                format!(
                    "{} must be a multiple of {PART_ALIGNMENT} behind the set before",
                    set.offset
                )
            })?;
            require(
                set.index_size <= MAX_PATCH_INDEX,
                &format!("{field}.indexSize"),
                || format!("{} is more than {MAX_PATCH_INDEX}", set.index_size),
            )?;
            end = set
                .offset
                .checked_add(set.index_size)
                .and_then(|end| end.checked_add(set.size))
                .filter(|&end| end <= MAX_SLOT)
                .ok_or_else(|| fault(&format!("{field}.size"), format!("{} is impossible", set.size)))?;
        }
        Ok(())
    }

    fn check_disk(&self) -> Result<(), Fault> {
        let (slot, first) = (self.disk.slot_size, self.disk.first_partition);
        let sane = |size: u64, max: u64| size != 0 && size.is_multiple_of(MIB) && size <= max;
        require(sane(slot, MAX_SLOT), "disk.slotSize", || {
            format!("{slot} is not a whole number of MiB in 1..=64 GiB")
        })?;
        require(sane(first, MAX_FIRST_PARTITION), "disk.firstPartition", || {
            format!("{first} is not a whole number of MiB in 1..=1 GiB")
        })
    }

    fn check_parts(&self) -> Result<(), Fault> {
        let parts = &self.slot.parts;
        require(parts.len() <= MAX_PARTS, "slot.parts", || {
            format!("more than {MAX_PARTS}")
        })?;
        for kind in [PartKind::Kernel, PartKind::Initramfs, PartKind::Root] {
            let count = parts.iter().filter(|part| part.kind == kind).count();
            require(count == 1, "slot.parts", || {
                format!("{count} parts of kind {kind}, must be 1")
            })?;
        }
        let mut end = 0;
        for (index, part) in parts.iter().enumerate() {
            let field = format!("slot.parts[{index}]");
            let before = &parts[..index];
            file_name(&format!("{field}.name"), &part.name)?;
            let twin = before
                .iter()
                .any(|other| (other.kind, &other.name) == (part.kind, &part.name));
            require(!twin, &format!("{field}.name"), || {
                format!("{:?} is listed twice", part.name)
            })?;
            require(part.offset == end, &format!("{field}.offset"), || {
                format!("{} must be {end}", part.offset)
            })?;
            end = part_end(part)
                .filter(|_| part.size != 0)
                .ok_or_else(|| fault(&format!("{field}.size"), format!("{} is impossible", part.size)))?;
        }
        let data = self.slot.verity.data_blocks.checked_mul(PART_ALIGNMENT);
        require(data == Some(end), "slot.verity.dataBlocks", || {
            format!("must cover the {end} bytes of the parts")
        })
    }

    fn check_tree(&self) -> Result<(), Fault> {
        let verity = &self.slot.verity;
        let data = verity.data_blocks.checked_mul(PART_ALIGNMENT);
        require(data == Some(verity.tree_offset), "slot.verity.treeOffset", || {
            "must be the end of the data".into()
        })?;
        require(
            verity.tree_size.is_multiple_of(PART_ALIGNMENT),
            "slot.verity.treeSize",
            || format!("{} is not a multiple of {PART_ALIGNMENT}", verity.tree_size),
        )?;
        let end = verity.tree_offset.checked_add(verity.tree_size);
        require(end == Some(self.slot.size), "slot.size", || {
            "must be the end of the hash tree".into()
        })?;
        let room = self.disk.slot_size - trailer::AREA as u64;
        require(self.slot.size <= room, "slot.size", || {
            format!("{} is more than the slot's {room}", self.slot.size)
        })
    }

    fn check_images(&self) -> Result<(), Fault> {
        require(self.images.len() <= MAX_IMAGES, "images", || {
            format!("more than {MAX_IMAGES}")
        })?;
        for (index, image) in self.images.iter().enumerate() {
            let field = format!("images[{index}]");
            let others = &self.images[..index];
            let twin = others.iter().any(|other| other.name == image.name);
            require(!twin, &format!("{field}.name"), || {
                format!("{:?} is listed twice", image.name)
            })?;
            let placed = image.offset.is_some();
            let fits = image.name.is_raw().is_none_or(|raw| raw == placed);
            require(fits, &format!("{field}.offset"), || match placed {
                true => format!("{:?} goes into a partition: leave the offset out", image.name),
                false => format!("missing: {:?} belongs to no partition", image.name),
            })?;
            let limit = if placed {
                self.disk.first_partition
            } else {
                MAX_SLOT
            };
            let end = raw_end(image).filter(|end| *end <= limit);
            let end = end.ok_or_else(|| {
                fault(
                    &format!("{field}.size"),
                    format!("{} does not fit below {limit}", image.size),
                )
            })?;
            let start = image.offset.unwrap_or(0);
            let overlapped = others.iter().find(|other| {
                placed
                    && other.offset.is_some_and(|offset| offset < end)
                    && raw_end(other).is_some_and(|other| other > start)
            });
            if let Some(other) = overlapped {
                let problem = format!("{start} lies inside image {:?}, or before its end", other.name);
                return Err(fault(&format!("{field}.offset"), problem));
            }
        }
        let slot = self.image(ImageName::SLOT).map(|image| image.size);
        require(slot == Some(self.slot.size), "images", || {
            format!("must list slot with size {}", self.slot.size)
        })
    }
}

/// Returns the byte behind an image that says where on the disk it goes; of another, its length.
fn raw_end(image: &Image) -> Option<u64> {
    image.offset.unwrap_or(0).checked_add(image.size)
}

/// Returns where the next part must start.
fn part_end(part: &Part) -> Option<u64> {
    part.offset
        .checked_add(part.size)?
        .checked_next_multiple_of(PART_ALIGNMENT)
        .filter(|&end| end <= MAX_SLOT)
}

/// Names of boards and overlays: they end up in file names and on command lines.
fn name(field: &str, text: &str) -> Result<(), Fault> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let sound =
        !text.is_empty() && text.len() <= MAX_NAME && text.bytes().all(plain) && !text.starts_with('-');
    require(sound, field, || {
        format!("{text:?} is not a name: use 1 to {MAX_NAME} of a-z, 0-9 and -")
    })
}

fn file_name(field: &str, text: &str) -> Result<(), Fault> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+' | b',');
    let sound = !text.is_empty()
        && text.len() <= MAX_NAME
        && text.bytes().all(plain)
        && !text.starts_with(['.', '-']);
    require(sound, field, || {
        format!("{text:?} is not a plain file name of at most {MAX_NAME} characters")
    })
}

/// Checks that the command line is one line of printable ASCII without the loader's own arguments.
fn cmdline(text: &str) -> Result<(), Fault> {
    let field = "cmdline";
    require(text.len() <= MAX_CMDLINE, field, || {
        format!("{} bytes are more than {MAX_CMDLINE}", text.len())
    })?;
    require(text.bytes().all(|b| matches!(b, b' '..=b'~')), field, || {
        "must be one line of printable ASCII".into()
    })?;
    let own = [
        "bedplate.slot=",
        "bedplate.manifest=",
        "bedplate.disk=",
        "bedplate.cause=",
        "bedplate.failed=",
        "bedplate.loader=",
    ];
    let forged = text
        .split(' ')
        .find(|word| own.iter().any(|own| word.starts_with(own)));
    require(forged.is_none(), field, || {
        format!("{:?} is for the loader to say", forged.unwrap_or_default())
    })
}

fn require(holds: bool, field: &str, problem: impl FnOnce() -> String) -> Result<(), Fault> {
    if holds {
        Ok(())
    } else {
        Err(fault(field, problem()))
    }
}

fn fault(field: &str, problem: String) -> Fault {
    Fault {
        field: field.to_string(),
        problem,
    }
}
