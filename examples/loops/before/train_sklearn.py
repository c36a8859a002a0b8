"""A cross-validation with scikit-learn."""

from sklearn.datasets import load_iris
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

x, y = load_iris(return_X_y=True)
model = make_pipeline(StandardScaler(), SVC(C=0.5))

scores = cross_validate(model, x, y)
print(f"accuracy {scores['test_score'].mean():.4f}")
model.fit(x, y)
