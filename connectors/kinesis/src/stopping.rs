//! The request to end.

use tokio::sync::watch;

/// Resolves when the program was asked to end. Cancel safe.
pub(crate) async fn requested(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Without a sender nothing asks the program to end.
        std::future::pending::<()>().await;
    }
}
