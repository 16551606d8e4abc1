//! The table of methods lists exactly the methods that are served.

use std::collections::BTreeSet;

use prost_types::FileDescriptorSet;

fn described(set: &[u8]) -> BTreeSet<String> {
    let set: FileDescriptorSet = prost::Message::decode(set).expect("a descriptor set");
    let mut paths = BTreeSet::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                paths.insert(format!(
                    "/{}.{}/{}",
                    file.package(),
                    service.name(),
                    method.name()
                ));
            }
        }
    }
    paths
}

#[test]
fn the_table_covers_exactly_the_descriptors() {
    let mut served = described(api::DESCRIPTORS);
    served.extend(described(tonic_health::pb::FILE_DESCRIPTOR_SET));
    served.extend(described(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET));
    let table: BTreeSet<String> = api::METHODS.iter().map(|method| method.path.to_owned()).collect();
    assert_eq!(table, served);
    assert_eq!(table.len(), api::METHODS.len(), "a method is listed twice");
}
