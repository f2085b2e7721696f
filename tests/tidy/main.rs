//! The house rules as tests: what DEVELOPERS ask of every file is kept here, not by memory.
//!
//! Each rule is a function from source text to findings, so that each is also shown bad text and has to find it. The rules
//! read text with a small lexer of their own; there is no tool to install.

mod layers;
mod lengths;
mod lexer;
mod licences;
mod protocol;
mod purity;
mod readme;
mod source;
mod unsafety;
mod words;

use source::{Finding, Source};

/// Fails with all findings, one a line.
#[track_caller]
fn expect_none(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} findings:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn modules_use_only_what_stands_above_them() {
    expect_none(&layers::check(&source::product(), &source::read("tools/layers.txt")));
}

#[test]
fn pure_modules_are_pure() {
    expect_none(&purity::check(&source::product(), &source::read("tools/layers.txt")));
}

#[test]
fn files_and_functions_are_short() {
    expect_none(&lengths::check(&source::product(), &source::read("tools/ratchet.txt")));
}

#[test]
fn unsafe_code_stays_in_its_place_and_says_why_it_holds() {
    expect_none(&unsafety::check(&source::product()));
}

#[test]
fn every_file_says_what_it_is() {
    let all = source::all();
    expect_none(&all.iter().flat_map(words::check_module_docs).collect::<Vec<_>>());
}

#[test]
fn module_files_only_list_modules() {
    expect_none(&source::product().iter().flat_map(words::check_module_file).collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_for_later_in_the_code() {
    let all = source::all();
    expect_none(&all.iter().flat_map(words::check_postponed).collect::<Vec<_>>());
}

#[test]
fn numbers_are_not_cast() {
    expect_none(&source::product().iter().flat_map(words::check_casts).collect::<Vec<_>>());
}

#[test]
fn every_file_is_part_of_the_crate() {
    expect_none(&words::check_dead_files(&source::product()));
}

#[test]
fn every_protocol_file_is_compiled() {
    expect_none(&protocol::check(&source::proto_files(), &source::read("build.rs"), &source::read("src/proto.rs")));
}

#[test]
fn dependencies_have_licences_that_we_may_use() {
    expect_none(&licences::check(&licences::packages()));
}

#[test]
fn the_readme_has_the_flags_as_they_are() {
    expect_none(&readme::check(&source::read("README.md"), &ringbolt::config::readme_table()));
}

#[test]
fn there_is_something_to_check() {
    let product = source::product();
    assert!(product.len() > 20 && product.iter().any(|file| file.path == "src/lib.rs"));
    assert!(product.iter().all(|file: &Source| !file.text.is_empty()));
}
