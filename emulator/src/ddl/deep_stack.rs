//! A thread whose stack is large enough for trees as deep as the parser of SQL makes them.

/// How deep a tree may be is bounded in words and in nested parentheses, and so is the stack that it needs: a few megabytes in a
/// build without optimization, which is more than most threads have. Pages that are not touched take no memory.
const STACK: usize = 64 * 1024 * 1024;

/// Does `work` on such a thread and waits for it; `None` if the system has no thread, or `work` panicked.
pub(crate) fn run<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, work);
        thread.ok()?.join().ok()
    })
}
