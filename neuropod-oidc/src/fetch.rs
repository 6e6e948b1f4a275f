//! What is asked of a provider: few requests, none of them long, large, or sent on to somewhere else.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use neuropod_core::{Error, Result};
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};
use reqwest::redirect::Policy;
use reqwest::{Client, Request, Response, Url};
use rustls::{ClientConfig, RootCertStore};

/// Nobody who signs in waits longer for one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Far more than any provider has to say.
const ANSWER_MAX: usize = 1 << 20;

/// A client that can do no more than it needs.
#[derive(Debug, Clone)]
pub(crate) struct Fetch(Client);

impl Fetch {
    /// For an issuer on this machine (`local`), or by TLS alone.
    pub(crate) fn new(local: bool) -> Result<Self> {
        let failed = |e| Error::internal("No client for HTTPS can be made.").caused_by(e);
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        // Named here, so that it does not matter what the process has for its own.
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut client = Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(!local)
            .redirect(Policy::none())
            .referer(false)
            .timeout(PATIENCE);
        if local {
            client = client.no_proxy();
        }
        let failed = |e| Error::internal("No client for HTTPS can be made.").caused_by(e);
        Ok(Self(client.build().map_err(failed)?))
    }

    /// The body of what is there; anything but success is an error.
    pub(crate) async fn get(&self, url: &Url) -> Result<Vec<u8>> {
        let request = Request::new(reqwest::Method::GET, url.clone());
        let answer = self.send(request).await?;
        if answer.status() != 200 {
            return Err(
                Error::unreachable("The identity provider answers with an error.")
                    .with("status", answer.status()),
            );
        }
        body(answer).await
    }

    async fn send(&self, request: Request) -> Result<Response> {
        self.0.execute(request).await.map_err(unreachable)
    }
}

impl<'c> AsyncHttpClient<'c> for Fetch {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse>> + Send + 'c>>;

    /// Sends what the code flow has to say, whatever is answered.
    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let request = Request::try_from(request).map_err(unreachable)?;
            let answer = self.send(request).await?;
            let mut response = HttpResponse::new(Vec::new());
            *response.status_mut() = answer.status();
            *response.headers_mut() = answer.headers().clone();
            *response.body_mut() = body(answer).await?;
            Ok(response)
        })
    }
}

async fn body(mut answer: Response) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > ANSWER_MAX {
            return Err(Error::unreachable(
                "The identity provider's answer is far too long.",
            ));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Addresses stay out of it: they may carry what nobody should read.
fn unreachable(e: reqwest::Error) -> Error {
    Error::unreachable("The identity provider does not answer.").caused_by(e.without_url())
}
