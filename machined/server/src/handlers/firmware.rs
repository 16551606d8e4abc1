//! The files on the EFI system partition.

use api::v1alpha1::firmware_service_server::FirmwareService;
use api::v1alpha1::{
    FirmwareStatusRequest, FirmwareStatusResponse, RepairFirmwareRequest, RepairFirmwareResponse,
};
use tonic::{Request, Response, Status};

use super::Handlers;

#[tonic::async_trait]
impl FirmwareService for Handlers {
    async fn status(
        &self,
        _: Request<FirmwareStatusRequest>,
    ) -> Result<Response<FirmwareStatusResponse>, Status> {
        Ok(Response::new(self.backend.firmware.status()?))
    }

    async fn repair(
        &self,
        request: Request<RepairFirmwareRequest>,
    ) -> Result<Response<RepairFirmwareResponse>, Status> {
        let repaired = self.backend.firmware.repair(request.into_inner()).await?;
        Ok(Response::new(repaired))
    }
}
