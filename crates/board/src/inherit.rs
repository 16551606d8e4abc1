//! Joins a board with the one it inherits from, and features with features.

use crate::device_trees::RawDeviceTrees;
use crate::document::RawBoard;
use crate::features::Features;
use crate::hardware::{Esp, RawDisk};
use crate::modules::Modules;

/// Returns `heir` whatever only `parent` says. Lists are joined, the parent's first; single values of the heir win.
pub fn inherit(parent: RawBoard, heir: RawBoard) -> RawBoard {
    RawBoard {
        api_version: heir.api_version,
        kind: heir.kind,
        name: heir.name,
        description: heir.description,
        inherit: heir.inherit,
        is_abstract: heir.is_abstract,
        arch: heir.arch.or(parent.arch),
        kernel: heir.kernel.or(parent.kernel),
        device_trees: RawDeviceTrees {
            files: join(parent.device_trees.files, heir.device_trees.files),
            default: heir.device_trees.default.or(parent.device_trees.default),
            prefer: heir.device_trees.prefer.or(parent.device_trees.prefer),
        },
        disk: RawDisk {
            slot_size: heir.disk.slot_size.or(parent.disk.slot_size),
            first_partition: heir.disk.first_partition.or(parent.disk.first_partition),
            hybrid_mbr: heir.disk.hybrid_mbr.or(parent.disk.hybrid_mbr),
        },
        esp: Esp {
            packages: join(parent.esp.packages, heir.esp.packages),
            files: join(parent.esp.files, heir.esp.files),
            device_trees: join(parent.esp.device_trees, heir.esp.device_trees),
            firmware_config: heir.esp.firmware_config.or(parent.esp.firmware_config),
            firmware_trial: heir.esp.firmware_trial.or(parent.esp.firmware_trial),
        },
        boot_code: heir.boot_code.or(parent.boot_code),
        overlays: join(parent.overlays, heir.overlays),
        features: join_features(parent.features, heir.features),
    }
}

/// Joins two sets of features: the first's entries come first, equal entries are kept once.
pub fn join_features(first: Features, second: Features) -> Features {
    Features {
        packages: join(first.packages, second.packages),
        kernel_arguments: join(first.kernel_arguments, second.kernel_arguments),
        modules: Modules {
            early: join(first.modules.early, second.modules.early),
            autoload: join(first.modules.autoload, second.modules.autoload),
            available: join(first.modules.available, second.modules.available),
        },
        device_tree_overlays: join(first.device_tree_overlays, second.device_tree_overlays),
        firmware_config: join(first.firmware_config, second.firmware_config),
        firmware: join(first.firmware, second.firmware),
        container_images: join(first.container_images, second.container_images),
        kubernetes: join(first.kubernetes, second.kubernetes),
        services: join(first.services, second.services),
        files: join(first.files, second.files),
        joined: join(first.joined, second.joined),
        links: join(first.links, second.links),
        directories: join(first.directories, second.directories),
    }
}

fn join<T: PartialEq>(mut first: Vec<T>, second: Vec<T>) -> Vec<T> {
    for item in second {
        if !first.contains(&item) {
            first.push(item);
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_joined_in_order_and_once() {
        assert_eq!(join(vec![1, 2], vec![2, 3, 1]), [1, 2, 3]);
    }
}
