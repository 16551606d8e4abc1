//! The interface of the part that keeps the EFI system partition.

use api::v1alpha1::{FirmwareStatusResponse, RepairFirmwareRequest, RepairFirmwareResponse};
use async_trait::async_trait;

use super::BackendError;

/// The files that the firmware reads.
#[async_trait]
pub trait Firmware: Send + Sync {
    /// Returns how they compared with the release when they were last read.
    fn status(&self) -> Result<FirmwareStatusResponse, BackendError>;
    /// Compares them again, and writes what differs unless it is a dry run. Goes on when the caller is gone.
    async fn repair(&self, request: RepairFirmwareRequest) -> Result<RepairFirmwareResponse, BackendError>;
}

/// Stands for the firmware of a node that has no EFI system partition, as in a container: refuses all.
pub struct WithoutFirmware;

fn without() -> BackendError {
    BackendError::Refused("this node has no EFI system partition of its own".to_owned())
}

#[async_trait]
impl Firmware for WithoutFirmware {
    fn status(&self) -> Result<FirmwareStatusResponse, BackendError> {
        Err(without())
    }

    async fn repair(&self, _: RepairFirmwareRequest) -> Result<RepairFirmwareResponse, BackendError> {
        Err(without())
    }
}
