//! Builds signed bundles and disk images from boards, overlays and Debian packages.
