"""A cross-validation with scikit-learn."""

from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from trackstack.frameworks.sklearn import cross_validate, log_model, parameters, start_run

x, y = load_iris(return_X_y=True)
model = make_pipeline(StandardScaler(), SVC(C=0.5))

with start_run("iris-svc", parameters(model)) as run:
    scores = cross_validate(run, model, x, y)
    print(f"accuracy {scores['test_score'].mean():.4f}")
    log_model(run, model.fit(x, y))
