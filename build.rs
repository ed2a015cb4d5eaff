//! Embeds every file of `schemas/` in the library, so that a new log type is a new file and nothing else.

use std::{env, error::Error, fmt::Write as _, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=schemas");
    let mut files: Vec<_> =
        fs::read_dir("schemas")?.map(|entry| entry?.path().canonicalize()).collect::<Result<_, std::io::Error>>()?;
    files.retain(|path| path.extension().is_some_and(|ending| ending == "yml"));
    files.sort();

    let mut source = String::from("&[\n");
    for path in &files {
        let (Some(path), Some(name)) = (path.to_str(), path.file_name().and_then(|name| name.to_str())) else {
            return Err(format!("{}: not UTF-8", path.display()).into());
        };
        writeln!(source, "    ({name:?}, include_str!({path:?})),")?;
    }
    source.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("schemas.rs"), source)?;
    Ok(())
}
