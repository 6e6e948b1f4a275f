//! The sizes of volumes. `bollard` knows only how newer engines tell them, so this is asked and read here.

use std::collections::HashMap;

use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use hyperlocal::UnixConnector;
use neuropod_core::{Error, Result};
use serde::Deserialize;

/// By the names of volumes, in bytes; those that the engine does not know are not there. `host` is the engine's.
pub(crate) async fn sizes(host: &str) -> Result<HashMap<String, u64>> {
    let answer = match host.split_once("://") {
        Some(("unix", path)) => {
            let uri = hyperlocal::Uri::new(path, "/system/df");
            get(UnixConnector, uri.into()).await
        }
        Some(("tcp" | "http", address)) => {
            let uri = format!("http://{address}/system/df");
            let uri = uri.parse().map_err(no_answer)?;
            get(HttpConnector::new(), uri).await
        }
        _ => return Ok(HashMap::new()),
    };
    read(&answer?)
}

async fn get<C>(connector: C, uri: hyper::Uri) -> Result<Vec<u8>>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let client: Client<C, String> = Client::builder(TokioExecutor::new()).build(connector);
    let answer = client.get(uri).await.map_err(no_answer)?;
    let body = answer.into_body().collect().await.map_err(no_answer)?;
    Ok(body.to_bytes().into())
}

fn no_answer(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let error = Error::unreachable("The Docker engine tells no sizes of volumes.").caused_by(error);
    error.during("docker system df")
}

/// The part of the answer that is wanted, as engines before 29 tell it, and as later ones do.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct DiskUsage {
    volumes: Option<Vec<Volume>>,
    volume_usage: Option<VolumeUsage>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeUsage {
    items: Option<Vec<Volume>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    name: String,
    usage_data: Option<UsageData>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UsageData {
    /// Below 0 where it is not known.
    size: i64,
}

fn read(answer: &[u8]) -> Result<HashMap<String, u64>> {
    let usage: DiskUsage = serde_json::from_slice(answer).map_err(no_answer)?;
    let later = usage.volume_usage.and_then(|usage| usage.items);
    let volumes = usage.volumes.or(later).unwrap_or_default();
    let known = volumes.into_iter().filter_map(|volume| {
        let size = u64::try_from(volume.usage_data?.size).ok()?;
        Some((volume.name, size))
    });
    Ok(known.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_are_read_and_what_is_not_known_is_left_out() {
        let volumes = r#"[{"Name": "a", "UsageData": {"RefCount": 1, "Size": 7}},
            {"Name": "b", "UsageData": {"RefCount": -1, "Size": -1}}, {"Name": "c", "UsageData": null}]"#;
        let expected = HashMap::from([("a".to_owned(), 7)]);
        for answer in [
            format!(r#"{{"LayersSize": 1, "Volumes": {volumes}}}"#),
            format!(r#"{{"VolumeUsage": {{"Items": {volumes}}}}}"#),
        ] {
            assert_eq!(read(answer.as_bytes()).unwrap(), expected);
        }
        assert_eq!(read(b"{\"Volumes\": null}").unwrap(), HashMap::new());
        let busy = br#"{"message": "a disk usage operation is already running"}"#;
        assert_eq!(read(busy).unwrap(), HashMap::new());
    }
}
