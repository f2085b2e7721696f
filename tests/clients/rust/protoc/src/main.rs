//! As much of `protoc` as the build script of etcd-client asks of it, so that no such tool need be installed.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut includes, mut files, mut output) = (Vec::new(), Vec::new(), None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-I" => includes.extend(arguments.next()),
            "-o" => output = arguments.next(),
            // Both are done in any case.
            "--include_imports" | "--include_source_info" => {}
            "--version" => {
                println!("libprotoc 29.0");
                return Ok(());
            }
            other if other.starts_with('-') => return Err(format!("{other} is not known here").into()),
            _ => files.push(PathBuf::from(argument)),
        }
    }
    let mut compiler = protox::Compiler::new(includes)?;
    compiler.include_imports(true).include_source_info(true).open_files(files)?;
    std::fs::write(output.ok_or("-o FILE is missing")?, compiler.encode_file_descriptor_set())?;
    Ok(())
}
