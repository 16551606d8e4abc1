//! Joins a board with the one it inherits from, and features with features.

use crate::document::RawBoard;
use crate::features::{Features, Modules};
use crate::hardware::{DeviceTrees, Esp};

/// Gives `heir` whatever only `parent` says. Lists are joined, the parent's first; single values of the heir win.
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
        device_trees: match (parent.device_trees, heir.device_trees) {
            (Some(parent), Some(heir)) => Some(DeviceTrees {
                files: join(parent.files, heir.files),
                default: heir.default.or(parent.default),
                prefer: heir.prefer,
            }),
            (parent, heir) => heir.or(parent),
        },
        disk: heir.disk.or(parent.disk),
        esp: Esp {
            packages: join(parent.esp.packages, heir.esp.packages),
            files: join(parent.esp.files, heir.esp.files),
            device_trees: join(parent.esp.device_trees, heir.esp.device_trees),
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
        firmware: join(first.firmware, second.firmware),
        container_images: join(first.container_images, second.container_images),
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
