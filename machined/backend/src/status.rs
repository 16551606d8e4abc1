//! Errors as gRPC statuses, with details where a program may want them.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{BackendError, Revoked};

impl From<BackendError> for Status {
    fn from(error: BackendError) -> Self {
        let text = error.to_string();
        match error {
            BackendError::NotFound(_) => Status::not_found(text),
            BackendError::Refused(_) => Status::failed_precondition(text),
            BackendError::Conflict(_) => Status::aborted(text),
            BackendError::Unauthenticated(_) => Status::unauthenticated(text),
            BackendError::Unavailable(_) => Status::unavailable(text),
            BackendError::Internal(_) => {
                tracing::error!("an API call failed: {text}");
                Status::internal(text)
            }
            BackendError::Invalid(faults) => {
                let mut details = ErrorDetails::new();
                for (path, fault) in faults {
                    details.add_bad_request_violation(path, fault);
                }
                Status::with_error_details(Code::InvalidArgument, text, details)
            }
        }
    }
}

impl From<Revoked> for Status {
    fn from(why: Revoked) -> Self {
        match why {
            Revoked::Authority | Revoked::Maintenance | Revoked::Expired => {
                Status::unauthenticated(why.to_string())
            }
            Revoked::NotServing => Status::unavailable(why.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_travel_one_by_one() {
        let faults = vec![("machine.role".to_owned(), "is missing".to_owned())];
        let status = Status::from(BackendError::Invalid(faults));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "machine.role: is missing");
        let found = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(
            (found[0].field.as_str(), found[0].description.as_str()),
            ("machine.role", "is missing")
        );
    }
}
