//! Texts that are compared byte for byte with a file. `BLESS=1` writes the files anew; read the difference before you commit it.

use std::path::Path;

/// Compares with `tests/golden/<name>`.
#[track_caller]
pub fn assert_golden(name: &str, text: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let path = golden.join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).expect("golden file is writable");
    }
    let want = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        want == text,
        "{} differs; BLESS=1 writes it anew. New text:\n{text}",
        path.display()
    );
}
