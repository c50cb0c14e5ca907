//! What every authorizer must do, as a plain function over the trait.

use presign_server::auth::Authorizer;
use upload_protocol::ErrorCode;

/// Credentials that nobody has: of every shape that is taken, and of none.
const WRONG: [&str; 9] = [
    "",
    " ",
    "x",
    "..",
    "hf_",
    "hf_0000000000000000_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJldmUifQ.",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJldmUifQ.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "\u{1f600}",
];

/// The whole suite: an authorizer that is open lets everybody in, one that isn't exactly those with
/// credentials among `good`, each as the same caller every time; what it refuses it does not repeat.
///
/// # Panics
/// With what the authorizer did wrong.
pub async fn suite(authorizer: &dyn Authorizer, good: &[String]) {
    if authorizer.is_open() {
        let nobody = authorizer.authorize(None).await.expect("everybody is let in");
        assert_eq!(
            nobody,
            authorizer
                .authorize(Some("x"))
                .await
                .expect("and stays who it is")
        );
        return;
    }
    let refused = authorizer
        .authorize(None)
        .await
        .expect_err("nobody is let in without credentials");
    assert_eq!(refused.code, ErrorCode::Unauthorized, "{refused}");
    for bearer in good {
        let caller = authorizer
            .authorize(Some(bearer))
            .await
            .expect("good credentials");
        let again = authorizer
            .authorize(Some(bearer))
            .await
            .expect("good credentials, again");
        assert_eq!(
            (&caller.client, &caller.scope, caller.role),
            (&again.client, &again.scope, again.role)
        );
        assert!(
            !caller.client.is_empty() && !caller.client.contains('/'),
            "{caller:?}"
        );
        let shown = format!("{caller:?}");
        assert!(!shown.contains(bearer.as_str()), "a caller shows its credentials");
        for altered in [
            format!("{bearer}x"),
            bearer[..bearer.len() - 4].to_owned(),
            bearer.to_uppercase(),
        ] {
            check_refused(authorizer, &altered).await;
        }
    }
    for wrong in WRONG {
        check_refused(authorizer, wrong).await;
    }
    check_refused(authorizer, &"A".repeat(100_000)).await;
}

async fn check_refused(authorizer: &dyn Authorizer, bearer: &str) {
    let refused = authorizer.authorize(Some(bearer)).await;
    let error = refused.expect_err("credentials that nobody has are refused");
    assert_eq!(error.code, ErrorCode::Unauthorized, "{error}");
    let secret = bearer.rsplit(['.', '_']).next().unwrap_or_default();
    assert!(secret.len() < 8 || !error.detail.contains(secret), "{error}");
}
