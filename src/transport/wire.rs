//! Reading what the server answers, in every variant it has been seen to use.
