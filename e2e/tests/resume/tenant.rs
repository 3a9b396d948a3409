//! Calls of several tenants.

use taiwa_e2e::Settings;
use taiwa_server::grpc::tenant::TenantSource;
use tonic::Request;

const KEY: &str = "x-tenant";

/// A server that tells tenants apart.
pub(crate) fn told_apart() -> Settings {
    Settings {
        tenants: TenantSource::Header(http::HeaderName::from_static(KEY)),
        ..Settings::default()
    }
}

/// A call by a tenant.
pub(crate) fn by<T>(tenant: &'static str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let tenant = tenant.parse().unwrap();
    request.metadata_mut().insert(KEY, tenant);
    request
}
