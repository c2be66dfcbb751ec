// SPDX-License-Identifier: LGPL-2.1-or-later
//! Chooses the files that definitions are kept in.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use log::{info, warn};

use crate::backend::Backend;
use crate::backend::ifupdown::Ifupdown;
use crate::backend::native::{self, Native};
use crate::config::choice::BackendChoice;
use crate::definitions::files::FilePath;
use crate::ifupdown::{Dialect, MAIN};
use crate::io::ifup;
use crate::model::client::Privilege;

/// Returns the backend, and says in the log where definitions are. `dir` is the directory of native
/// ones. A session's daemon has only those: the host's files are root's.
pub(super) fn choose(choice: BackendChoice, dir: PathBuf, privilege: Privilege) -> Rc<dyn Backend> {
    if choice != BackendChoice::Ifupdown || privilege != Privilege::System {
        info!("definitions are in {}, in the daemon's own format", dir.display());
        return Rc::new(Native::new(dir));
    }
    let dialect = match ifup::find() {
        Ok((program, dialect)) => {
            info!("definitions are in {MAIN}, as {dialect} ({}) reads it", program.display());
            dialect
        }
        // Existing definitions can be read, and the check of new text fails.
        Err(err) => {
            let dialect = Dialect::Classic;
            warn!(
                "{err}: definitions are in {MAIN}, read as {dialect} would, and cannot be written"
            );
            dialect
        }
    };
    let unused = native_in(&dir);
    if !unused.is_empty() {
        let (unused, dir) = (unused.join(", "), dir.display());
        warn!(
            "the definitions in {dir} are not used: {unused}; to take one over, use `virsh \
             iface-define {dir}/NAME.xml` and delete that file"
        );
    }
    Rc::new(Ifupdown::new(PathBuf::from("/"), dialect))
}

/// The names of the native definitions.
fn native_in(dir: &Path) -> Vec<String> {
    let Ok(entries) = dir.read_dir() else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| {
        let path = FilePath::new(entry.file_name().into_encoded_bytes())?;
        Some(native::name_of(&path)?.to_string())
    });
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names
}
