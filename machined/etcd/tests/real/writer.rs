//! Writes without end, and remembers what etcd acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use etcd_client::Etcd;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A task that writes to whichever member answers.
pub struct Writer {
    stop: watch::Sender<bool>,
    task: JoinHandle<BTreeMap<String, Vec<u8>>>,
}

impl Writer {
    pub fn start(members: Vec<Etcd>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut acknowledged = BTreeMap::new();
            let mut number = 0_u64;
            while !*stopped.borrow() {
                number += 1;
                let (key, value) = (format!("test/{}", number % 500), number.to_string().into_bytes());
                let etcd = &members[usize::try_from(number).unwrap() % members.len()];
                match tokio::time::timeout(Duration::from_secs(3), etcd.put(&key, &value)).await {
                    Ok(Ok(_)) => {
                        acknowledged.insert(key, value);
                    }
                    // It may have been written or not: nobody can tell any more what the key holds.
                    _ => {
                        acknowledged.remove(&key);
                    }
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            acknowledged
        });
        Self { stop, task }
    }

    /// Stops, and returns what was acknowledged and not written over since.
    pub async fn stop(self) -> BTreeMap<String, Vec<u8>> {
        self.stop.send_replace(true);
        self.task.await.unwrap()
    }
}

/// Checks that everything that was acknowledged is there.
pub async fn verify(etcd: &Etcd, acknowledged: &BTreeMap<String, Vec<u8>>) {
    for (key, value) in acknowledged {
        let found = etcd.get(key).await.unwrap();
        assert_eq!(found.as_ref(), Some(value), "{key}");
    }
    eprintln!("{} acknowledged writes are there", acknowledged.len());
}
