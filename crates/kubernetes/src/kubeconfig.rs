//! Files that say where an API is, and who asks.

use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::node::text;
use crate::{Cluster, Identity, Kind, Layout, Signer, component::File};

/// Returns a component's file. It names the files of its certificate, so a new certificate needs no new file.
pub(crate) fn of_component(
    cluster: &Cluster,
    layout: &Layout,
    kind: Kind,
    api: &str,
    identity: &Identity,
) -> File {
    let user = json!({
        "client-certificate": text(&layout.certificate(kind, identity.file)),
        "client-key": text(&layout.key(kind, identity.file)),
    });
    let server = json!({
        "server": api,
        "certificate-authority": text(&layout.authority(kind, Signer::Kubernetes)),
    });
    File::yaml(
        layout.file(kind, "kubeconfig"),
        &document(cluster.name().as_str(), &identity.name, &server, &user),
    )
}

/// Returns a person's file, with everything in it. `authority` is the certificates of the cluster's authority in PEM,
/// `certificate` and `key` are the person's.
pub fn of_person(
    cluster: &Cluster,
    user: &str,
    authority: &str,
    certificate: &str,
    key: &str,
) -> Zeroizing<String> {
    let data = |pem: &str| Base64::encode_string(pem.as_bytes());
    let secret = Zeroizing::new(data(key));
    let server = json!({
        "server": cluster.endpoint().as_str(),
        "certificate-authority-data": data(authority),
    });
    // The key comes in last and by hand: a tree of values is not erased when it is dropped.
    let user_entry = json!({ "client-certificate-data": data(certificate), "client-key-data": KEY });
    let tree = document(cluster.name().as_str(), user, &server, &user_entry);
    let yaml = yaml::to_string(&tree).expect("maps, lists and texts can always be written as YAML");
    Zeroizing::new(yaml.replacen(KEY, &secret, 1))
}

/// What stands for the key until it is put in. No base64 and no name looks like it.
const KEY: &str = "<key>";

fn document(cluster: &str, user: &str, server: &Value, credentials: &Value) -> Value {
    let context = format!("{user}@{cluster}");
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": cluster, "cluster": server }],
        "users": [{ "name": user, "user": credentials }],
        "contexts": [{ "name": context, "context": { "cluster": cluster, "user": user } }],
        "current-context": context,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine_config::value::ClusterNetworks;

    #[test]
    fn a_person_s_file_holds_everything() {
        let networks = ClusterNetworks::new(&[], &[]).unwrap();
        let endpoint = "https://k:6443".parse().unwrap();
        let cluster = Cluster::new("home".parse().unwrap(), endpoint, None, networks);
        let file = of_person(&cluster, "ann", "CA", "CERT", "KEY");
        let tree: Value = yaml::from_str(&file).unwrap();
        assert_eq!(
            tree["users"][0]["user"]["client-key-data"],
            Base64::encode_string(b"KEY")
        );
        assert_eq!(tree["clusters"][0]["cluster"]["server"], "https://k:6443");
        assert_eq!(tree["current-context"], "ann@home");
    }
}
