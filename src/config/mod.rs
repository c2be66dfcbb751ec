// SPDX-License-Identifier: LGPL-2.1-or-later
//! Configuration files: their grammar, and the keys of virtinterfaced.conf.

pub mod lexer;
pub mod logging_spec;
pub mod uuid;
pub mod choice;
pub mod settings;
mod value;
mod keys;
mod load;

pub use keys::Key;
pub use load::{ConfigError, Warning};
pub use settings::Settings;
pub use value::ValueError;
