//! `std` as the crate's files see it in the models: the scheduler of shuttle chooses at each use of a lock or an atomic which
//! task runs next.

pub use ::std::*;

pub mod sync {
    pub use ::std::sync::*;
    pub use shuttle::sync::{Mutex, MutexGuard};

    pub mod atomic {
        pub use shuttle::sync::atomic::*;
    }

    /// shuttle has none. The atomic is there for the scheduler alone.
    #[derive(Debug)]
    pub struct OnceLock<T> {
        uses: atomic::AtomicUsize,
        value: ::std::sync::OnceLock<T>,
    }

    impl<T> OnceLock<T> {
        pub fn new() -> Self {
            Self {
                uses: atomic::AtomicUsize::new(0),
                value: ::std::sync::OnceLock::new(),
            }
        }

        pub fn get(&self) -> Option<&T> {
            self.uses.load(atomic::Ordering::SeqCst);
            self.value.get()
        }

        pub fn set(&self, value: T) -> Result<(), T> {
            self.uses.fetch_add(1, atomic::Ordering::SeqCst);
            self.value.set(value)
        }
    }

    impl<T> Default for OnceLock<T> {
        fn default() -> Self {
            Self::new()
        }
    }
}
