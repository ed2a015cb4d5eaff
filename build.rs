//! Embeds every file of `schemas/` in the library, so that a new log type is a new file and nothing else. The YAML
//! becomes JSON on the way: reading YAML took a third of the function's start.

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
        let yaml = fs::read_to_string(Path::new("schemas").join(name))?;
        let schema: serde_json::Value =
            serde_saphyr::from_str(&yaml).map_err(|error| format!("schemas/{name}: {error}"))?;
        writeln!(source, "    ({name:?}, {:?}),", schema.to_string())?;
    }
    source.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("schemas.rs"), source)?;
    Ok(())
}
