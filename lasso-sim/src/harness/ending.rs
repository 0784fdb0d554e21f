//! How an application, an act or a check may end.

use core::fmt::Display;

/// How a closure of a test may end: with nothing, never, or with a [`Result`] whose error can be displayed. An error
/// fails the run.
///
/// ```
/// fn ends(_: impl lasso_sim::Ending) {}
///
/// ends(());
/// ends(Ok::<(), String>(()));
/// ends(Err::<u32, _>("no stock"));
/// ```
pub trait Ending: sealed::Sealed {
    /// The error's text.
    #[doc(hidden)]
    fn into_result(self) -> Result<(), String>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl Sealed for super::Never {}
    impl<T, E> Sealed for Result<T, E> {}
}

impl Ending for () {
    fn into_result(self) -> Result<(), String> {
        Ok(())
    }
}

/// The type of a loop without an end, which has no name in stable Rust but this.
type Never = <fn() -> ! as Returns>::Type;

#[doc(hidden)]
pub trait Returns {
    type Type;
}

impl<T> Returns for fn() -> T {
    type Type = T;
}

impl Ending for Never {
    fn into_result(self) -> Result<(), String> {
        self
    }
}

impl<T, E: Display> Ending for Result<T, E> {
    fn into_result(self) -> Result<(), String> {
        self.map(|_| ()).map_err(|error| error.to_string())
    }
}
