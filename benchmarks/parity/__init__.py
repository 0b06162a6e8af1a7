"""Every estimator of scikit-learn through registration, compilation and serving, against itself."""
