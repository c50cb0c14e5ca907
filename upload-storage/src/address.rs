//! Where a bucket is: the host and path of the URLs that clients are given.

use url::Url;

/// Scheme, host and path prefix of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketAddress {
    scheme: String,
    authority: String,
    path_prefix: String,
}

/// The endpoint can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("S3 endpoint `{endpoint}` is refused: {reason}; write it as http://host:port or https://host")]
pub struct AddressError {
    /// As it was configured, without a user and password.
    pub endpoint: String,
    /// What is wrong with it.
    pub reason: String,
}

impl BucketAddress {
    /// A bucket below a custom endpoint, path-style: `https://s3.example/bucket`. Every S3-compatible
    /// store understands it, and no DNS entry a bucket is needed.
    ///
    /// # Errors
    /// [`AddressError`] when the endpoint is no plain http or https URL.
    pub fn of_endpoint(endpoint: &str, bucket: &str) -> Result<Self, AddressError> {
        let refused = |reason: String| AddressError {
            endpoint: without_user(endpoint),
            reason,
        };
        let url = Url::parse(endpoint).map_err(|error| refused(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused(format!(
                "scheme `{}` is neither http nor https",
                url.scheme()
            )));
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err(refused("it has a query, a fragment or a user name".to_owned()));
        }
        if url.path() != "/" {
            return Err(refused(format!("it has the path `{}`", url.path())));
        }
        let host = url
            .host_str()
            .ok_or_else(|| refused("it has no host".to_owned()))?;
        Ok(Self {
            scheme: url.scheme().to_owned(),
            authority: match url.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            },
            path_prefix: format!("/{bucket}"),
        })
    }

    /// A bucket at Amazon, virtual-host style, as its own URLs are. A name with dots has no
    /// certificate there and goes path-style.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html>
    pub fn of_aws(region: &str, bucket: &str) -> Self {
        let suffix = if region.starts_with("cn-") {
            "amazonaws.com.cn"
        } else {
            "amazonaws.com"
        };
        let (authority, path_prefix) = if bucket.contains('.') {
            (format!("s3.{region}.{suffix}"), format!("/{bucket}"))
        } else {
            (format!("{bucket}.s3.{region}.{suffix}"), String::new())
        };
        Self {
            scheme: "https".to_owned(),
            authority,
            path_prefix,
        }
    }

    /// `scheme://host:port`, the port left out where it is the scheme's own.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// Host and port, as in the `Host` header.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path before the key, without a slash at its end.
    pub fn path_prefix(&self) -> &str {
        &self.path_prefix
    }
}

/// What stands before an `@` may be a password.
fn without_user(endpoint: &str) -> String {
    match (endpoint.split_once("://"), endpoint.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        (None, Some((_, rest))) => format!("…@{rest}"),
        _ => endpoint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_endpoint_is_addressed_path_style_without_its_default_port() {
        let address = BucketAddress::of_endpoint("https://s3.example:443/", "b").unwrap();
        assert_eq!(address.origin(), "https://s3.example");
        assert_eq!(address.path_prefix(), "/b");
        let address = BucketAddress::of_endpoint("http://127.0.0.1:9000", "b").unwrap();
        assert_eq!(
            (address.authority(), address.path_prefix()),
            ("127.0.0.1:9000", "/b")
        );
    }

    #[test]
    fn bucket_at_amazon_is_addressed_by_host_unless_its_name_has_dots() {
        let address = BucketAddress::of_aws("eu-central-1", "videos");
        assert_eq!(address.origin(), "https://videos.s3.eu-central-1.amazonaws.com");
        assert_eq!(address.path_prefix(), "");
        let address = BucketAddress::of_aws("eu-central-1", "my.videos");
        assert_eq!(address.origin(), "https://s3.eu-central-1.amazonaws.com");
        assert_eq!(address.path_prefix(), "/my.videos");
    }

    #[test]
    fn endpoint_that_is_no_http_url_is_refused_by_name() {
        for endpoint in ["127.0.0.1:9000", "ftp://x", "http://x/?a=b", "http://x/base"] {
            let error = BucketAddress::of_endpoint(endpoint, "b").unwrap_err();
            assert!(error.to_string().contains(endpoint), "{error}");
        }
    }

    #[test]
    fn endpoint_with_a_password_is_refused_without_showing_it() {
        for endpoint in ["http://u:hush@x", "u:hush@x", "ftp://hush@x"] {
            let error = BucketAddress::of_endpoint(endpoint, "b").unwrap_err();
            assert!(!error.to_string().contains("hush"), "{error}");
            assert!(error.to_string().contains("…@x"), "{error}");
        }
    }
}
