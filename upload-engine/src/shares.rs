//! The outcome of a call that many uploads share, cut into one for each.

use upload_protocol::{CompleteBatchResult, Problem, StartBatchResult};

use crate::action::{Failure, Outcome};
use crate::upload::unexpected;

/// One outcome for each of `count` uploads, in the order of the request's items.
pub(crate) fn shares(outcome: Outcome, count: usize) -> Vec<Outcome> {
    let shares: Vec<Outcome> = match outcome {
        Outcome::StartedMany(response) => response.results.into_iter().map(started).collect(),
        Outcome::CompletedMany(response) => response.results.into_iter().map(completed).collect(),
        Outcome::Failed(failure) => vec![Outcome::Failed(failure); count],
        other => vec![Outcome::Failed(unexpected(&other)); count],
    };
    if shares.len() == count {
        return shares;
    }
    let detail = format!("{} results for {count} items", shares.len());
    vec![Outcome::Failed(Failure::InvalidAnswer { detail }); count]
}

fn started(result: StartBatchResult) -> Outcome {
    match result {
        StartBatchResult::Session(session) => Outcome::Started(session),
        StartBatchResult::Problem(problem) => failed(problem),
    }
}

fn completed(result: CompleteBatchResult) -> Outcome {
    match result {
        CompleteBatchResult::Completed(completed) => Outcome::Completed(completed),
        CompleteBatchResult::Problem(problem) => failed(problem),
    }
}

fn failed(problem: Problem) -> Outcome {
    Outcome::Failed(Failure::Http {
        status: problem.status,
        code: Some(problem.code),
        store_code: None,
        detail: problem.detail,
        retry_after_seconds: None,
    })
}

#[cfg(test)]
mod tests {
    use upload_protocol::{CompleteBatchResponse, ErrorCode, StartBatchResponse};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn each_upload_gets_its_own_problem() {
        let results = [ErrorCode::FileTooLarge, ErrorCode::SessionAborted]
            .map(|code| StartBatchResult::Problem(Problem::new(code, "why")));
        let response = StartBatchResponse {
            results: results.into(),
        };
        let codes: Vec<_> = shares(Outcome::StartedMany(response), 2)
            .into_iter()
            .map(|outcome| match outcome {
                Outcome::Failed(Failure::Http { code, .. }) => code,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            codes,
            [Some(ErrorCode::FileTooLarge), Some(ErrorCode::SessionAborted)]
        );
    }

    #[test]
    fn answer_with_too_few_results_fails_all_and_decides_nothing() {
        let response = CompleteBatchResponse { results: Vec::new() };
        let shares = shares(Outcome::CompletedMany(response), 2);
        assert_eq!(shares.len(), 2);
        assert!(
            shares
                .iter()
                .all(|share| matches!(share, Outcome::Failed(Failure::InvalidAnswer { .. })))
        );
    }
}
