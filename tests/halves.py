"""What the base install of the package lacks, and which files therefore do not run where nothing else is.

And which run there only (`left_to_the_base`), by `--without-base-tests`: to run twice what no library
changes takes minutes and finds nothing.

The rule: a file needs more than the base if it imports, at its top, a library of an extra, a module of the
package that is listed here, or a module of `HELPERS` that does. What is imported within functions does not
count: a single test that needs a library is marked `@pytest.mark.needs("torch")`, a file in which all do by
`pytestmark`.
"""

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import affectlens

TESTS = Path(__file__).parent
# Whose modules tests import by name alone: `pythonpath` in pyproject.toml.
HELPERS = (TESTS, TESTS.parent / "benchmarks", TESTS.parent / "scripts")
SOURCES = Path(affectlens.__file__).parent.parent
# Libraries of the extras, as they are imported.
LIBRARIES = (
    "axe_playwright_python", "captum", "fastapi", "mlflow", "onnx", "onnxscript", "openvino", "pandas",
    "pillow_heif", "playwright", "prometheus_client", "pyarrow", "python_multipart", "ray", "scipy",
    "skimage", "sklearn", "tensorboard", "threadpoolctl", "timm", "tomli_w", "torch", "torchmetrics",
    "torchvision", "transformers", "uvicorn", "wandb",
)  # fmt: skip
# Rooms that build models, and the service.
ROOMS = (
    "affectlens.cluster",
    "affectlens.losses",
    "affectlens.models",
    "affectlens.recipes",
    "affectlens.serve",
    "affectlens.training",
)
# What else cannot be imported without one of these libraries. A module that no longer needs one leaves the
# list; none is added.
NAMED = frozenset({
    "affectlens.explain.core.activations",
    "affectlens.explain.core.aumann_shapley",
    "affectlens.explain.core.differentiable",
    "affectlens.explain.faithfulness.randomised",
    "affectlens.explain.features.figure",
    "affectlens.explain.features.visualisation",
    "affectlens.explain.methods.attention",
    "affectlens.explain.methods.grad_cam",
    "affectlens.explain.methods.gradient",
    "affectlens.explain.methods.integrated_gradients",
    "affectlens.explain.methods.network_cam",
    "affectlens.explain.methods.smooth_gradient",
    "affectlens.explain.methods.superpixels",
    "affectlens.explain.methods.token_maps",
    "affectlens.explain.story.branches",
    "affectlens.inference.labelled",
    "affectlens.inference.labelled_batches",
    "affectlens.inference.openvino_engine",
    "affectlens.inference.torch_engine",
})  # fmt: skip

# Of the files that need only the base these alone run with everything installed as well: what they test is
# how engines are chosen and what they answer, which may depend on what else there is. A single test of
# another file that does is marked with what it needs (`needs`), and runs there.
TWICE = ("inference/*", "cli/test_predict.py", "rules/*")


def base_only() -> bool:
    """Whether this Python has the base alone: no torch."""
    return find_spec("torch") is None


def needs_more(module: str) -> bool:
    """Whether a module of the package cannot be imported where the base alone is installed."""
    return module in NAMED or any(module == room or module.startswith(f"{room}.") for room in ROOMS)


@cache
def lacking(file: Path) -> str | None:
    """Return the first thing that a file imports at its top and the base lacks; None if there is nothing."""
    if file.is_relative_to(SOURCES):
        module = ".".join(file.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__")
        return module if needs_more(module) else None
    for name in _imported(ast.parse(file.read_text(encoding="utf-8"))):
        top = name.partition(".")[0]
        if top in LIBRARIES or needs_more(name):
            return name
        if any(lacking(folder / f"{top}.py") for folder in HELPERS if (folder / f"{top}.py").is_file()):
            return name
    return None


def left_to_the_base(file: Path) -> bool:
    """Whether a file's tests run where the base alone is installed, and need not run elsewhere (`TWICE`)."""
    if not file.is_relative_to(TESTS) or lacking(file):
        return False
    name = file.relative_to(TESTS).as_posix()
    return not any(fnmatch(name, pattern) for pattern in TWICE)


def left_whole_to_the_base(file: Path) -> bool:
    """Whether none of a file's tests is marked with more that it needs; doctests cannot be."""
    if file.is_relative_to(SOURCES):
        return not lacking(file)
    return left_to_the_base(file) and "mark.needs(" not in file.read_text(encoding="utf-8")


def _imported(node: ast.AST) -> Iterator[str]:
    """Yield what is imported as soon as a file is: modules, and names in modules as `module.name`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.module is not None, "imports are absolute"
        yield node.module
        lazy = affectlens._MODULES if node.module == "affectlens" else {}
        yield from (f"{node.module}.{lazy.get(alias.name, alias.name)}" for alias in node.names)
    elif isinstance(node, ast.Assign) and ast.unparse(node).startswith("pytestmark = pytest.mark.needs("):
        yield from (ast.literal_eval(library) for library in node.value.args)  # type: ignore[attr-defined]
    elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        for statement in node.orelse:
            yield from _imported(statement)
    elif not isinstance(node, ast.FunctionDef | ast.expr):
        for child in ast.iter_child_nodes(node):
            yield from _imported(child)
