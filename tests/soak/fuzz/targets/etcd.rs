//! What an etcd server answers, as bytes of its protocol.
#![no_main]

use etcd_client::proto::{PbRangeResponse, PbTxnResponse};
use etcd_client::{GetResponse, TxnResponse};
use libfuzzer_sys::fuzz_target;
use metaparticle::fuzzing;
use metaparticle_fuzz::asked::Question;
use metaparticle_fuzz::{bounded, part};
use prost::Message;

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    let Some(question) = Question::of(part(&mut rest)) else { return };
    let (commit, version) = (part(&mut rest), part(&mut rest));
    bounded(input, || {
        let mut answers = Vec::new();
        while !rest.is_empty() {
            answers.push(PbRangeResponse::decode(part(&mut rest)).map(GetResponse));
        }
        if let Ok(answers) = answers.into_iter().collect() {
            fuzzing::etcd_answers(answers, &question.asked());
        }
    });
    bounded(commit, || {
        if let Ok(answer) = PbTxnResponse::decode(commit) {
            fuzzing::etcd_commit(TxnResponse(answer));
        }
        fuzzing::etcd_version(&String::from_utf8_lossy(version));
    });
});
