"""Estimators are recorded with all that decides them, and their models without pickle."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.model_selection import cross_validate as sklearn_cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from trackstack import UserError
from trackstack.frameworks.sklearn import cross_validate, load_model, log_model, parameters
from trackstack.tracking.run import start_run

X, Y = load_iris(return_X_y=True)


def test_parameters_are_those_of_all_estimators_as_json():
    found = parameters(make_pipeline(FunctionTransformer(np.log1p), SVC(C=np.float64(2.0), class_weight={0: 2})))
    assert json.loads(json.dumps(found))["svc__C"] == 2.0
    assert (found["estimator"], found["svc"], found["functiontransformer__func"]) == ("Pipeline", "SVC", "log1p")


def test_scores_are_scikit_learns_fold_by_fold(home, points):
    cv = KFold(3, shuffle=True, random_state=0)
    with start_run("mine", parameters(LogisticRegression())) as run:
        scores = cross_validate(run, LogisticRegression(), X, Y, cv=cv, scoring=["accuracy", "f1_macro"])
    expected = sklearn_cross_validate(LogisticRegression(), X, Y, cv=cv, scoring=["accuracy", "f1_macro"])
    assert scores.keys() == {"test_accuracy", "test_f1_macro"}
    for name, values in scores.items():
        assert values.tolist() == expected[name].tolist()
        assert [value for one, _, value in points(home) if one == f"fold/{name}"] == values.tolist()
        assert (name, 3, values.mean()) in points(home)


def test_folds_that_are_drawn_anew_each_time_are_refused(home):
    with (
        start_run("mine") as run,
        pytest.raises(UserError, match=r"draws other folds .* type KFold\(\.\.\., random_st"),
    ):
        cross_validate(run, SVC(), X, Y, cv=KFold(3, shuffle=True))


def test_a_model_is_kept_without_pickle_and_predicts_the_same(home):
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    with start_run("mine") as run:
        log_model(run, model)
    kept = run.folder / "artifacts/1/model.skops"
    assert load_model(kept).predict_proba(X).tolist() == model.predict_proba(X).tolist()
    with pytest.raises(UserError, match="there is no such file"):
        load_model("none.skops")


class Own(StandardScaler):
    pass


def test_a_model_with_code_that_is_not_scikit_learns_is_not_loaded(home):
    with start_run("mine") as run:
        log_model(run, Own().fit(X))
    with pytest.raises(UserError, match=r"model.skops: has the types .*Own, which loading would run code of"):
        load_model(run.folder / "artifacts/1/model.skops")
