"""PyTorch's published formulas in NumPy and float64, which yield the parameter after each step."""

import math

import numpy as np

from tinytensor import optim


def sgd(p, grads, lr, momentum=0, dampening=0, weight_decay=0, nesterov=False, maximize=False):
    buf = None
    for g in grads:
        d = (-g if maximize else g) + weight_decay * p
        if momentum:
            buf = d if buf is None else momentum * buf + (1 - dampening) * d
            d = d + momentum * buf if nesterov else buf
        p = p - lr * d
        yield p


def adam(
    p, grads, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False, maximize=False,
    decoupled_weight_decay=False,
):  # fmt: skip
    m = v = top = np.zeros_like(p)
    for t, g in enumerate(grads, 1):
        p, g = decayed(p, g, lr, weight_decay, decoupled_weight_decay, maximize)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        top = np.maximum(top, v)
        root = np.sqrt(top if amsgrad else v) / np.sqrt(1 - betas[1] ** t)
        p = p - lr / (1 - betas[0] ** t) * m / (root + eps)
        yield p


def adamw(p, grads, lr, weight_decay=1e-2, **options):
    yield from adam(p, grads, lr, weight_decay=weight_decay, decoupled_weight_decay=True, **options)


def decayed(p, g, lr, weight_decay, decoupled, maximize):
    g = -g if maximize else g
    return (p * (1 - lr * weight_decay), g) if decoupled else (p, g + weight_decay * p)


def nadam(
    p, grads, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, momentum_decay=4e-3, decoupled_weight_decay=False,
    maximize=False,
):  # fmt: skip
    m = v = np.zeros_like(p)
    product = 1.0
    for t, g in enumerate(grads, 1):
        p, g = decayed(p, g, lr, weight_decay, decoupled_weight_decay, maximize)
        mu, after = (betas[0] * (1 - 0.5 * 0.96 ** (s * momentum_decay)) for s in (t, t + 1))
        product *= mu
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        ahead = after * m / (1 - product * after) + (1 - mu) * g / (1 - product)
        p = p - lr * ahead / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
        yield p


def radam(
    p, grads, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, decoupled_weight_decay=False, maximize=False
):  # fmt: skip
    m = v = np.zeros_like(p)
    longest = 2 / (1 - betas[1]) - 1
    for t, g in enumerate(grads, 1):
        p, g = decayed(p, g, lr, weight_decay, decoupled_weight_decay, maximize)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        step = m / (1 - betas[0] ** t)
        rho = longest - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
        if rho > 5:
            r = math.sqrt((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho))
            step = step * r * math.sqrt(1 - betas[1] ** t) / (np.sqrt(v) + eps)
        p = p - lr * step
        yield p


def adamax(p, grads, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, maximize=False):
    m = u = np.zeros_like(p)
    for t, g in enumerate(grads, 1):
        p, g = decayed(p, g, lr, weight_decay, False, maximize)
        m = betas[0] * m + (1 - betas[0]) * g
        u = np.maximum(betas[1] * u, np.abs(g) + eps)
        p = p - lr / (1 - betas[0] ** t) * m / u
        yield p


def rmsprop(p, grads, lr, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False, maximize=False):
    v = a = buf = np.zeros_like(p)
    for g in grads:
        p, g = decayed(p, g, lr, weight_decay, False, maximize)
        v = alpha * v + (1 - alpha) * g * g
        if centered:
            a = alpha * a + (1 - alpha) * g
        buf = momentum * buf + g / (np.sqrt(v - a * a) + eps)
        p = p - lr * buf
        yield p


def adagrad(p, grads, lr, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10, maximize=False):
    total = np.full_like(p, initial_accumulator_value)
    for t, g in enumerate(grads, 1):
        p, g = decayed(p, g, lr, weight_decay, False, maximize)
        total = total + g * g
        p = p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(total) + eps)
        yield p


def adadelta(p, grads, lr, rho=0.9, eps=1e-6, weight_decay=0, maximize=False):
    v = u = np.zeros_like(p)
    for g in grads:
        p, g = decayed(p, g, lr, weight_decay, False, maximize)
        v = rho * v + (1 - rho) * g * g
        step = np.sqrt(u + eps) / np.sqrt(v + eps) * g
        u = rho * u + (1 - rho) * step * step
        p = p - lr * step
        yield p


def lion(p, grads, lr, betas=(0.9, 0.99), weight_decay=0, maximize=False):
    m = np.zeros_like(p)
    for g in grads:
        g = -g if maximize else g
        p = p * (1 - lr * weight_decay) - lr * np.sign(betas[0] * m + (1 - betas[0]) * g)
        m = betas[1] * m + (1 - betas[1]) * g
        yield p


CASES = [
    (optim.SGD, sgd, {}),
    (optim.SGD, sgd, {"momentum": 0.9}),
    (optim.SGD, sgd, {"momentum": 0.9, "dampening": 0.3}),
    (optim.SGD, sgd, {"momentum": 0.9, "nesterov": True}),
    (optim.SGD, sgd, {"weight_decay": 0.1}),
    (optim.SGD, sgd, {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    (optim.SGD, sgd, {"momentum": 0.8, "weight_decay": 0.1, "maximize": True}),
    (optim.Adam, adam, {}),
    (optim.Adam, adam, {"betas": (0.8, 0.95), "eps": 1e-3}),
    (optim.Adam, adam, {"weight_decay": 0.1}),
    (optim.Adam, adam, {"weight_decay": 0.3, "decoupled_weight_decay": True}),
    (optim.Adam, adam, {"amsgrad": True}),
    (optim.Adam, adam, {"amsgrad": True, "weight_decay": 0.1, "maximize": True}),
    (optim.AdamW, adamw, {}),
    (optim.AdamW, adamw, {"weight_decay": 0.2, "betas": (0.5, 0.9)}),
    (optim.AdamW, adamw, {"weight_decay": 0.2, "amsgrad": True, "maximize": True}),
    (optim.NAdam, nadam, {}),
    (optim.NAdam, nadam, {"weight_decay": 0.1, "momentum_decay": 0.5, "maximize": True}),
    (optim.NAdam, nadam, {"weight_decay": 0.3, "decoupled_weight_decay": True, "betas": (0.5, 0.9), "eps": 1e-3}),
    (optim.RAdam, radam, {}),
    (optim.RAdam, radam, {"weight_decay": 0.1, "betas": (0.7, 0.9), "maximize": True}),
    (optim.RAdam, radam, {"weight_decay": 0.3, "decoupled_weight_decay": True, "eps": 1e-3}),
    (optim.RAdam, radam, {"betas": (0.7, 0.5)}),  # never rectified
    (optim.Adamax, adamax, {}),
    (optim.Adamax, adamax, {"weight_decay": 0.1, "betas": (0.7, 0.9), "eps": 1e-3, "maximize": True}),
    (optim.RMSprop, rmsprop, {}),
    (optim.RMSprop, rmsprop, {"alpha": 0.8, "momentum": 0.9}),
    (optim.RMSprop, rmsprop, {"centered": True, "weight_decay": 0.1, "eps": 1e-3}),
    (optim.RMSprop, rmsprop, {"centered": True, "momentum": 0.5, "maximize": True}),
    (optim.Adagrad, adagrad, {}),
    (optim.Adagrad, adagrad, {"lr_decay": 0.1, "weight_decay": 0.1}),
    (optim.Adagrad, adagrad, {"initial_accumulator_value": 0.5, "eps": 1e-3, "maximize": True}),
    (optim.Adadelta, adadelta, {}),
    (optim.Adadelta, adadelta, {"rho": 0.5, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    (optim.Lion, lion, {}),
    (optim.Lion, lion, {"betas": (0.5, 0.8), "weight_decay": 0.3, "maximize": True}),
]
IDS = [f"{kind.__name__}-{'-'.join(options) or 'plain'}" for kind, _, options in CASES]
