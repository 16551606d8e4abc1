//! What the loader reads from the firmware's device tree.

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use firmware_trial::Started;

/// The node in which the firmware says how it was started, below the root.
const BOOTLOADER: [&str; 2] = ["chosen", "bootloader"];
/// One cell: 1 when the firmware used the files that it was told to try once.
const TRIED: &str = "tryboot";

/// Returns how the firmware was started; `None` when its tree does not say.
pub fn started(tree: &[u8]) -> Option<Started> {
    let tree = Fdt::new(tree).ok()?;
    let mut node = tree.root();
    for name in BOOTLOADER {
        node = node.child(name)?;
    }
    match node.property(TRIED)?.value_as::<u32>().ok()? {
        0 => Some(Started::Usual),
        _ => Some(Started::Trial),
    }
}

/// Finds the registers of a device on the first level of buses, by its `compatible` name, as the processor addresses them.
pub fn registers(tree: &[u8], compatible: &str) -> Option<u64> {
    let tree = Fdt::new(tree).ok()?;
    tree.root().children().find_map(|bus| {
        let device = bus.children().find(|device| is_compatible(device, compatible))?;
        let address: u64 = device.reg().ok()??.next()?.address().ok()?;
        translate(bus, address)
    })
}

fn is_compatible(device: &FdtNode<'_>, name: &str) -> bool {
    device
        .compatible()
        .is_some_and(|mut names| names.any(|known| known == name))
}

/// Translates an address on a bus into one of the processor's.
fn translate(bus: FdtNode<'_>, address: u64) -> Option<u64> {
    bus.ranges().ok()??.find_map(|range| {
        let first: u64 = range.child_bus_address().ok()?;
        let len: u64 = range.length().ok()?;
        let to: u64 = range.parent_bus_address().ok()?;
        let offset = address.checked_sub(first).filter(|offset| *offset < len)?;
        to.checked_add(offset)
    })
}

#[cfg(test)]
mod tests {
    extern crate std;

    use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;

    fn node(name: &str, properties: &[(&str, Vec<u8>)], children: Vec<DeviceTreeNode>) -> DeviceTreeNode {
        let mut builder = DeviceTreeNode::builder(name).unwrap();
        for (name, value) in properties {
            builder = builder.property(DeviceTreeProperty::new(*name, value.as_slice()).unwrap());
        }
        for child in children {
            builder = builder.child(child);
        }
        builder.build()
    }

    fn cells(values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_be_bytes()).collect()
    }

    /// A tree with the shape of two real ones: addresses on the bus in one cell, those of the processor in two.
    fn tree(tried: Option<u32>, ranges: &[u32], register: u32) -> Vec<u8> {
        let mut tree = DeviceTree::new();
        let sizes = [("#address-cells", cells(&[2])), ("#size-cells", cells(&[1]))];
        for (name, value) in &sizes {
            tree.root
                .add_property(DeviceTreeProperty::new(*name, value.as_slice()).unwrap());
        }
        let told: Vec<(&str, Vec<u8>)> = tried.iter().map(|tried| (TRIED, cells(&[*tried]))).collect();
        tree.root.add_child(node(
            "chosen",
            &[],
            Vec::from([node("bootloader", &told, Vec::new())]),
        ));
        let mailbox = node(
            "mailbox@1",
            &[
                ("compatible", b"vendor,new-mbox\0vendor,mbox\0".to_vec()),
                ("reg", cells(&[register, 0x40])),
            ],
            Vec::new(),
        );
        let bus = [
            ("#address-cells", cells(&[1])),
            ("#size-cells", cells(&[1])),
            ("ranges", cells(ranges)),
        ];
        tree.root.add_child(node("soc", &bus, Vec::from([mailbox])));
        tree.to_dtb()
    }

    #[test]
    fn the_firmware_says_how_it_was_started() {
        for (tried, expected) in [
            (Some(0), Some(Started::Usual)),
            (Some(1), Some(Started::Trial)),
            (None, None),
        ] {
            assert_eq!(started(&tree(tried, &[0, 0, 0, 1], 0)), expected);
        }
        assert_eq!(started(b"no tree"), None);
    }

    #[test]
    fn registers_are_where_the_bus_is_for_the_processor() {
        let one = [
            0x7e00_0000,
            0,
            0xfe00_0000,
            0x0180_0000,
            0x7c00_0000,
            0,
            0xfc00_0000,
            0x0200_0000,
        ];
        let two = [0, 0x10, 0, 0x8000_0000];
        for (ranges, register, expected) in [
            (&one[..], 0x7e00_b880, Some(0xfe00_b880)),
            (&two[..], 0x7c01_3880, Some(0x10_7c01_3880)),
            (&two[..], 0x8000_0000, None),
        ] {
            let tree = tree(Some(0), ranges, register);
            assert_eq!(registers(&tree, "vendor,mbox"), expected);
            assert_eq!(registers(&tree, "vendor,other"), None);
        }
    }

    proptest! {
        #[test]
        fn a_damaged_tree_never_panics(at: prop::sample::Index, value: u8) {
            let mut tree = tree(Some(1), &[0, 0x10, 0, 0x8000_0000], 0x7c01_3880);
            let at = at.index(tree.len());
            tree[at] = value;
            let _ = (started(&tree), registers(&tree, "vendor,mbox"));
        }
    }
}
