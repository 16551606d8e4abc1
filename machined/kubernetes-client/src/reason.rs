//! Why a request failed, in words for people.

use std::error::Error as _;

/// Returns why a request failed: what the API server says, or the last cause. The client's own words name its types.
pub fn reason(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return match status.message.trim() {
            "" => format!("it answers with status {}", status.code),
            message => message.to_owned(),
        };
    }
    let Some(mut cause) = error.source() else {
        return error.to_string();
    };
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use std::io;

    use kube::core::Status;

    use super::*;

    #[test]
    fn no_reason_names_types_of_the_client() {
        let mut status = Status::failure("etcdserver: request timed out", "").with_code(500);
        assert_eq!(
            reason(&kube::Error::Api(status.clone().boxed())),
            "etcdserver: request timed out"
        );
        status.message.clear();
        assert_eq!(
            reason(&kube::Error::Api(status.boxed())),
            "it answers with status 500"
        );
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let said = refused.to_string();
        assert_eq!(reason(&kube::Error::Service(Box::new(refused))), said);
    }
}
