//! Who connects, where to, and to which pipe: profiles and pipe paths.
