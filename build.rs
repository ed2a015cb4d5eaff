//! Embeds every file of `schemas/` in the library, so that a new log type is a new file and nothing else.

use std::{env, error::Error, ffi::OsString, fmt::Write as _, fs, io, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=schemas");
    let names: Vec<OsString> =
        fs::read_dir("schemas")?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
    let mut names = names
        .into_iter()
        .map(OsString::into_string)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|name| format!("schemas/{}: not UTF-8", name.display()))?;
    names.retain(|name| Path::new(name).extension().is_some_and(|ending| ending == "yml"));
    names.sort();

    let mut source = String::from("&[\n");
    for name in &names {
        let path = format!("/schemas/{name}");
        // No path of this machine, so that a checkout can be moved with what was built in it.
        writeln!(source, "    ({name:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))),")?;
    }
    source.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("schemas.rs"), source)?;
    Ok(())
}
