//! lasso
