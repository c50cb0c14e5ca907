//! Reading what servers answer: problem details, S3's XML errors, `Retry-After`. Pure.

use upload_engine::Failure;
use upload_protocol::Problem;

use crate::json;

/// Longest detail taken over from an answer, in characters.
const DETAIL_LENGTH_MAX: usize = 300;

/// The part of an answer that failures are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    pub(super) body: &'a str,
    /// The header `Retry-After`, where it is readable.
    pub(super) retry_after: Option<&'a str>,
}

impl Answer<'_> {
    /// The failure that a control call's error status means.
    pub(super) fn of_server(&self) -> Failure {
        let problem = json::read::<Problem>(self.body).ok();
        let code = problem.as_ref().map(|problem| problem.code);
        let detail = problem.map_or_else(|| self.body.to_owned(), |problem| problem.detail);
        Failure::Http {
            status: self.status,
            code,
            store_code: None,
            detail: shorten(&detail),
            retry_after_seconds: self.retry_after_seconds(),
        }
    }

    /// The failure that a store's answer means, `None` when it is a success. S3 may put an error into a
    /// 200 whose headers were sent before the outcome was known.
    pub(super) fn of_store(&self) -> Option<Failure> {
        let is_error = !(200..300).contains(&self.status) || self.body.contains("<Error>");
        is_error.then(|| Failure::Http {
            status: self.status,
            code: None,
            store_code: element(self.body, "Code").map(shorten),
            detail: shorten(element(self.body, "Message").unwrap_or(self.body)),
            retry_after_seconds: self.retry_after_seconds(),
        })
    }

    /// Only the form in seconds: stores and our server use no other, and a date would need their clock.
    fn retry_after_seconds(&self) -> Option<u32> {
        self.retry_after.and_then(|text| text.trim().parse().ok())
    }
}

/// The text of the first element of this name. S3's errors have no attributes and nothing nested in
/// `Code` or `Message`, so no XML parser is needed.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}

/// The beginning of a text that somebody else wrote.
pub(super) fn shorten(text: &str) -> String {
    text.trim().chars().take(DETAIL_LENGTH_MAX).collect()
}

#[cfg(test)]
mod tests {
    use upload_protocol::ErrorCode;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer<'_> {
        Answer {
            status,
            body,
            retry_after: None,
        }
    }

    #[test]
    fn problem_details_give_code_and_detail() {
        let body =
            serde_json::to_string(&Problem::new(ErrorCode::PartsMissing, "part 3 is missing")).unwrap();
        let Failure::Http {
            status,
            code,
            detail,
            store_code,
            ..
        } = answer(409, &body).of_server()
        else {
            panic!("an HTTP failure was expected");
        };
        assert_eq!((status, code), (409, Some(ErrorCode::PartsMissing)));
        assert_eq!((detail.as_str(), store_code), ("part 3 is missing", None));
    }

    #[test]
    fn answer_of_a_proxy_keeps_its_status_and_the_beginning_of_its_text() {
        let page = "x".repeat(100_000);
        let Failure::Http {
            status, code, detail, ..
        } = answer(502, &page).of_server()
        else {
            panic!("an HTTP failure was expected");
        };
        assert_eq!((status, code, detail.len()), (502, None, DETAIL_LENGTH_MAX));
    }

    #[test]
    fn store_error_gives_its_code_and_message() {
        let body = "<?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>";
        let failure = answer(503, body).of_store();
        assert_eq!(
            failure,
            Some(Failure::Http {
                status: 503,
                code: None,
                store_code: Some("SlowDown".into()),
                detail: "Reduce your rate".into(),
                retry_after_seconds: None,
            })
        );
    }

    #[test]
    fn error_inside_a_200_is_a_failure() {
        let body = "<Error><Code>InternalError</Code></Error>";
        assert!(
            matches!(answer(200, body).of_store(), Some(Failure::Http { store_code: Some(code), .. }) if code == "InternalError")
        );
        assert_eq!(answer(200, "").of_store(), None);
    }

    #[test]
    fn broken_xml_is_still_a_failure_by_its_status() {
        for body in ["", "<Code>", "</Code><Code>", "<Code>x", "\u{1f600}"] {
            assert!(
                matches!(
                    answer(400, body).of_store(),
                    Some(Failure::Http {
                        status: 400,
                        store_code: None,
                        ..
                    })
                ),
                "{body}"
            );
        }
    }

    #[test]
    fn retry_after_is_read_in_seconds_only() {
        let read = |text| {
            Answer {
                retry_after: Some(text),
                ..answer(503, "")
            }
            .retry_after_seconds()
        };
        assert_eq!(read(" 120 "), Some(120));
        for text in [
            "",
            "-1",
            "soon",
            "Fri, 31 Dec 2027 23:59:59 GMT",
            "99999999999999",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
