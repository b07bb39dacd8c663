"""What each ONNX operator of a bundle is in C, for one row."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from surrogates.c99.body import Body, Operation, Value
from surrogates.c99.trees import trees

HELPERS = {
    "largest": """\
/* The larger number; what is not a number stays so. */
static inline float largest(float a, float b) { return a > b || a != a ? a : b; }
""",
    "smallest": """\
/* The smaller number; what is not a number stays so. */
static inline float smallest(float a, float b) { return a < b || a != a ? a : b; }
""",
    "sigmoid": """\
static inline float sigmoid(float a) { return 1.0f / (1.0f + expf(-a)); }
""",
    "affine": """\
/* y = x w + b: x of n numbers, w of n rows and m columns; four rows at a time, to store y less often. */
static inline void affine(const float *restrict x, int n, int m, const float *restrict w,
                          const float *restrict b, float *restrict y)
{
    int i = 0;
    for (int j = 0; j < m; j++) y[j] = b[j];
    for (; i + 4 <= n; i += 4, w += 4 * m)
        for (int j = 0; j < m; j++)
            y[j] = y[j] + x[i] * w[j] + x[i + 1] * w[m + j]
                 + x[i + 2] * w[2 * m + j] + x[i + 3] * w[3 * m + j];
    for (; i < n; i++, w += m)
        for (int j = 0; j < m; j++) y[j] += x[i] * w[j];
}
""",
}
"""C functions that the operators call, by name."""
_ELEMENTWISE = {
    "Abs": "fabsf({0})", "Add": "{0} + {1}", "Div": "{0} / {1}", "Exp": "expf({0})",
    "Greater": "(float)({0} > {1})", "Log": "logf({0})", "Mul": "{0} * {1}", "Neg": "-{0}",
    "Pow": "powf({0}, {1})", "Relu": "largest({0}, 0.0f)", "Sigmoid": "sigmoid({0})",
    "Sqrt": "sqrtf({0})", "Sub": "{0} - {1}", "Tanh": "tanhf({0})",
    "Where": "{0} != 0.0f ? {1} : {2}",
}  # fmt: skip
_EXTREMES = {"Max": "largest", "Min": "smallest", "ReduceMax": "largest", "ReduceMin": "smallest"}


def _elementwise(body: Body, operation: Operation) -> Value:
    width, flat = _broadcast(body, operation)
    arguments = [body.at(value, width) for value in operation.inputs]
    return body.assign(_ELEMENTWISE[operation.op].format(*arguments), width, flat)


def _extreme(body: Body, operation: Operation) -> Value:
    width, flat = _broadcast(body, operation)
    expression, *others = (body.at(value, width) for value in operation.inputs)
    for other in others:
        expression = f"{_EXTREMES[operation.op]}({expression}, {other})"
    return body.assign(expression, width, flat)


def _reduce(body: Body, operation: Operation) -> Value:
    source, *given = operation.inputs
    axes = given[0].constant if given else operation.attributes.get("axes")
    _check_columns(body, operation, source, axes[0] if axes is not None and len(axes) == 1 else None)
    name = body.fresh()
    body.lines.append(f"float {name}[1] = {{{source.code}[0]}};")
    step = f"{name}[0] = {_EXTREMES[operation.op]}({name}[0], {source.code}[i]);"
    body.loop(source.width, step, first=1)
    return Value(name, 1, flat=not operation.attributes.get("keepdims", 1))


def _arg_max(body: Body, operation: Operation) -> Value:
    (source,) = operation.inputs
    _check_columns(body, operation, source, operation.attributes.get("axis", 0))
    if operation.attributes.get("select_last_index", 0):
        raise body.refuse(operation, "select_last_index 1, expected 0")
    name = body.fresh()
    body.lines.append(f"float {name}[1] = {{0.0f}};")
    step = f"if ({source.code}[i] > {source.code}[(int){name}[0]]) {name}[0] = (float)i;"
    body.loop(source.width, step, first=1)
    return Value(name, 1, flat=not operation.attributes.get("keepdims", 1), rows=source.width)


def _identity(body: Body, operation: Operation) -> Value:
    return operation.inputs[0]


def _concat(body: Body, operation: Operation) -> Value:
    for value in operation.inputs:
        _check_columns(body, operation, value, operation.attributes["axis"])
    name, width = body.fresh(), sum(value.width for value in operation.inputs)
    body.lines.append(f"float {name}[{width}];")
    start = 0
    for value in operation.inputs:
        if value.width == 1:
            body.lines.append(f"{name}[{start}] = {value.code}[0];")
        elif value.width:
            body.loop(value.width, f"{name}[{f'{start} + ' if start else ''}i] = {value.code}[i];")
        start += value.width
    return Value(name, width)


def _slice(body: Body, operation: Operation) -> Value:
    source, *bounds = operation.inputs
    given = [value.constant for value in bounds if value.constant is not None and value.constant.size == 1]
    if len(given) != len(bounds) or len(given) not in (3, 4):
        raise body.refuse(operation, "expected one constant start, end and axis")
    start, stop, axis, step = [int(values.item()) for values in (*given, np.ones(1))[:4]]
    _check_columns(body, operation, source, axis)
    return _pick(body, source, range(source.width)[start:stop:step])


def _gather(body: Body, operation: Operation) -> Value:
    source, index = operation.inputs
    axis = operation.attributes.get("axis", 0)
    if source.constant is not None and index.rows and axis == 0:
        return _look_up(body, operation, source.constant, index)
    _check_columns(body, operation, source, axis)
    if index.constant is None or index.constant.ndim > 1:
        raise body.refuse(operation, "expected constant columns")
    columns = [range(source.width)[int(column)] for column in index.constant.ravel()]
    return _pick(body, source, columns, flat=index.constant.ndim == 0)


def _look_up(body: Body, operation: Operation, table: NDArray[np.float32], index: Value) -> Value:
    """Take the row of a constant table that ArgMax has found."""
    _check_float(body, operation, table)
    if not index.flat or table.ndim > 2 or len(table) < index.rows:
        raise body.refuse(operation, f"one of {index.rows} rows of a table {table.shape}")
    width = table.shape[1] if table.ndim == 2 else 1
    row = f"{body.floats(table)} + {width} * (int){index.code}[0]"
    return body.point(row, width, flat=table.ndim == 1)


def _pick(body: Body, source: Value, columns: Sequence[int], flat: bool = False) -> Value:
    """Take columns: where they lie side by side, without a copy."""
    if not columns:
        return Value("", 0)
    if list(columns) == list(range(columns[0], columns[0] + len(columns))):
        offset = f" + {columns[0]}" if columns[0] else ""
        return body.point(f"{source.code}{offset}", len(columns), flat)
    name = body.fresh()
    elements = ", ".join(f"{source.code}[{column}]" for column in columns)
    body.lines.append(f"const float {name}[] = {{{elements}}};")
    return Value(name, len(columns), flat)


def _mat_mul(body: Body, operation: Operation) -> Value:
    weights = operation.inputs[1].constant
    if weights is None or weights.ndim not in (1, 2):
        raise body.refuse(operation, "expected rows times a constant matrix")
    matrix = weights.reshape(len(weights), -1)
    return _affine(body, operation, matrix, np.zeros(matrix.shape[1], np.float32), flat=weights.ndim == 1)


def _gemm(body: Body, operation: Operation) -> Value:
    _, factor, *shift = operation.inputs
    settings, weights = operation.attributes, factor.constant
    if weights is None or settings.get("transA", 0) or any(value.constant is None for value in shift):
        raise body.refuse(operation, "expected rows times a constant matrix plus a constant row")
    weights = weights.T if settings.get("transB", 0) else weights
    bias = np.zeros(weights.shape[1], dtype=np.float32)
    for value in shift:
        row = np.asarray(value.constant)
        if row.size not in (1, bias.size):
            raise body.refuse(operation, f"a constant {row.shape} plus rows of {bias.size} columns")
        bias += np.float32(settings.get("beta", 1.0)) * row.ravel()
    return _affine(body, operation, np.float32(settings.get("alpha", 1.0)) * weights, bias)


def _affine(
    body: Body,
    operation: Operation,
    weights: NDArray[np.float32],
    bias: NDArray[np.float32],
    flat: bool = False,
) -> Value:
    source = operation.inputs[0]
    _check_float(body, operation, weights)
    if source.flat or source.constant is not None or source.width != len(weights):
        raise body.refuse(operation, f"{source.width} columns times a matrix {weights.shape}")
    sizes = map(str, weights.shape)
    return body.call(
        "affine", [source.code, *sizes, body.floats(weights), body.floats(bias)], len(bias), flat
    )


def _broadcast(body: Body, operation: Operation) -> tuple[int, bool]:
    """Return the width of an elementwise result, and whether it is (k,)."""
    flat = any(value.flat for value in operation.inputs)
    width = max(value.width for value in operation.inputs)
    for value in operation.inputs:
        if value.constant is None:
            fits = value.flat == flat and not value.rows
        else:
            _check_float(body, operation, value.constant)
            fits = value.constant.size == value.width and value.constant.ndim <= (1 if flat else 2)
        if not fits or value.width not in (1, width):
            raise body.refuse(operation, "shapes do not meet row by row")
    return width, flat


def _check_float(body: Body, operation: Operation, constant: NDArray[np.generic]) -> None:
    if constant.dtype != np.float32:
        raise body.refuse(operation, f"a constant of {constant.dtype}, expected float32")


def _check_columns(body: Body, operation: Operation, source: Value, axis: int | None) -> None:
    """Refuse what does not work along the columns of a (k, n) tensor."""
    if axis not in (1, -1) or source.flat or source.rows or source.constant is not None:
        raise body.refuse(operation, f"axis {axis}, expected the columns (axis 1) of rows (k, n)")


OPERATIONS: Mapping[str, Callable[[Body, Operation], Value]] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    "Max": _extreme, "Min": _extreme, "ReduceMax": _reduce, "ReduceMin": _reduce, "ArgMax": _arg_max,
    "Identity": _identity, "Concat": _concat, "Slice": _slice, "Gather": _gather,
    "MatMul": _mat_mul, "Gemm": _gemm, "TreeEnsembleRegressor": trees,
}  # fmt: skip
