import numba

from detector.compiled import compiled


def half(x):
    return 0.5 * x


def test_a_function_without_a_place_to_be_kept_is_compiled_all_the_same(monkeypatch):
    njit = numba.njit

    def nowhere_to_write(*args, **options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*args, **options)

    monkeypatch.setattr(numba, "njit", nowhere_to_write)

    fast = compiled(half)

    assert fast(3.0) == 1.5
    assert fast.signatures
