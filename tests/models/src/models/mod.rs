//! What must hold in every interleaving.

pub(crate) mod budget;
pub(crate) mod buffers;
pub(crate) mod channel;
pub(crate) mod names;
pub(crate) mod tokens;

use std::future::Future;

use tokio::task::JoinHandle;

/// Starts tasks that run in parallel.
fn parallel<T: Send + 'static>(
    tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<JoinHandle<T>> {
    tasks.into_iter().map(tokio::spawn).collect()
}

/// The results of tasks that must end, and without a panic.
async fn joined<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("a task panicked"));
    }
    results
}
