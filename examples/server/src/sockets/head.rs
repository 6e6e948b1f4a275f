//! The head of a request that stays. A socket keeps its first request's for as long as it is there, and the texts in it are
//! parts of all that was read together with them: 16 KiB, for some hundred bytes.

use axum::extract::{OriginalUri, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};

/// The same request, with a head that holds nothing else.
pub(super) async fn of_its_own(request: Request) -> Request {
    let (mut parts, body) = request.into_parts();
    parts.headers = headers(&parts.headers);
    parts.uri = uri(parts.uri);
    // Of a router that this one is nested in.
    if let Some(OriginalUri(original)) = parts.extensions.remove() {
        parts.extensions.insert(OriginalUri(uri(original)));
    }
    Request::from_parts(parts, body)
}

fn headers(read: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(read.len());
    for (name, value) in read {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        let copy = HeaderValue::from_bytes(value.as_bytes());
        // Both were read once already.
        if let (Ok(name), Ok(mut copy)) = (name, copy) {
            copy.set_sensitive(value.is_sensitive());
            headers.append(name, copy);
        }
    }
    headers
}

fn uri(read: Uri) -> Uri {
    read.to_string().parse().unwrap_or(read)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[tokio::test]
    async fn it_says_the_same() {
        let request = || {
            let request = Request::get("/socket.io/?EIO=4&a=%20b")
                .header("host", "x")
                .header("X-Own", "one")
                .header("X-Own", "two")
                .header("x-latin", HeaderValue::from_bytes(b"caf\xe9").unwrap())
                .extension(OriginalUri("/under/socket.io/?EIO=4".parse().unwrap()));
            request.body(Body::empty()).unwrap()
        };
        let (read, copied) = (request(), of_its_own(request()).await);
        assert_eq!(copied.headers(), read.headers());
        assert_eq!(copied.uri(), read.uri());
        let original = copied.extensions().get::<OriginalUri>().unwrap();
        assert_eq!(original.0, "/under/socket.io/?EIO=4");
    }
}
