"""The page: self-contained, and in a real browser (Debian's chromium, driven by playwright) it steps by keys, buttons, slider,
mouse and address."""

import json
import re
import shutil

import graphs
import pytest

import tinytensor as tt
from tinytensor.viz import draw
from tinytensor.viz.draw import COLORS
from tinytensor.viz.trace import Edge, Trace

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def data(page):
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_loads_nothing():
    page = draw(graphs.network()).html
    assert "default-src 'none'" in page
    assert set(re.findall(r"https?://[^\s\"'<]+", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\b(src|href)=|@import|url\(", page)


def test_steps_go_forward_then_backward_and_no_gradient_goes_to_constants():
    found = data(draw(graphs.formula()).html)
    assert found["steps"] == [[i, 0] for i in range(5)] + [[i, 1] for i in (4, 3, 2, 1, 0)]
    network = graphs.network()
    constants = {node.index for node in network.nodes if node.kind == "constant"}
    assert constants and not constants & {node for node, back in data(draw(network).html)["steps"] if back}


def test_what_a_node_says():
    node = data(draw(graphs.formula()).html)["nodes"][4]
    assert node == {
        "title": "f = mul",
        "kind": "op, one number, float32",
        "about": ["mul: swaps", "kept for backward: x, y"],
        "line": "",
        "value": "-12",
        "upstream": "1",
        "inputs": [
            {"name": "q = add", "value": "3", "local": "-4", "downstream": "-4"},
            {"name": "z", "value": "-4", "local": "3", "downstream": "3"},
        ],
    }


def test_a_line_is_named_without_the_machines_folders():
    x = tt.tensor(2.0, requires_grad=True)
    f = x.exp()
    line = data(draw(f).html)["nodes"][1]["line"]
    assert re.fullmatch(r"test_page\.py:\d+  f = x\.exp\(\)", line)


def test_a_constant_has_no_gradient():
    chain = data(draw(graphs.chain(3)).html)["nodes"]
    assert (chain[1]["title"], chain[1]["upstream"]) == ("1", None)
    assert [(i["local"], i["downstream"]) for i in chain[2]["inputs"] if i["name"] == "1"] == [(None, None)]


def test_uses_of_a_value_add_up():
    assert data(draw(graphs.copied()).html)["nodes"][0]["upstream"] == "3 + 3 + 1 = 7"


def test_what_a_hook_changed_is_no_sum():
    x = tt.tensor(3.0, requires_grad=True)
    w = tt.ones(2, 20, requires_grad=True)
    h = x * 1.0
    h.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g * 7)
    w.register_hook(lambda g: g * 2)
    with tt.inspect():
        f = h * h + x + (w * w).sum()
    before = draw(f)
    assert [n.before for n in before.trace.nodes] == [None] * len(before.trace.nodes)
    f.backward()
    drawing = draw(f)
    said = {node["title"]: node["upstream"] for node in data(drawing.html)["nodes"]}
    assert said["x"] == "60 + 1 = 61, by a hook 427" and x.grad.item() == 427
    assert said["h = mul"] == "3 + 3 = 6, by a hook 60"
    assert said["w"] == "2 to 2, mean 2, norm 12.6, by a hook 4 to 4, mean 4, norm 25.3\nsum over 2 uses"
    explained = str(f.explain())
    assert "dx = 1 + 60 = 61, by a hook 427 " in explained and "dh = 3 + 3 = 6, by a hook 60 " in explained


def test_names_cannot_be_markup():
    name = "</script><script>alert(1)</script>@DATA@"
    nodes = [graphs.node(0, "leaf", "leaf", name=name), graphs.node(1, "exp", "op", inputs=[Edge(0, 0, None, None)])]
    trace = Trace(nodes, 1)
    page = draw(trace).html
    assert data(page)["nodes"][0]["title"] == name
    assert page.count("</script>") == 2 and "<script>alert" not in page


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip(
        "playwright.sync_api", reason="the page's test in a browser needs playwright: pip install '.[test]'"
    )
    if CHROMIUM is None:
        pytest.skip("the page's test in a browser needs chromium: apt-get install chromium")
    with api.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a trace's page; a message of the console, an error or a request beside the file itself fails the test."""
    contexts, wrong = [], []

    def open_page(trace, step=None, **more):
        draw(trace).save(tmp_path / "graph.html")
        contexts.append(browser.new_context(viewport={"width": 1000, "height": 640}, **more))
        page = contexts[-1].new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        address = (tmp_path / "graph.html").as_uri()
        page.on("request", lambda request: None if request.url.startswith(address) else wrong.append(request.url))
        page.goto(address + ("" if step is None else f"#step={step}"))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


def where(page):
    return page.inner_text("#where")


def shown(page, role):
    return page.eval_on_selector_all(
        f"#stage text.{role}",
        "all => all.filter(e => getComputedStyle(e).visibility === 'visible').map(e => e.textContent)",
    )


def test_keys_step_through_the_whole_run(opened):
    page = opened(graphs.formula())
    assert (where(page), page.inner_text("#what")) == ("forward 1 of 5", "Forward: x")
    assert (shown(page, "value"), shown(page, "grad")) == (["-2"], [])
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert (where(page), page.inner_text("#what")) == ("forward 5 of 5", "Forward: f = mul")
    assert (shown(page, "value"), shown(page, "grad")) == (["-2", "5", "-4", "3", "-12"], [])
    assert page.inner_text("#upstream") == "comes in the backward pass"
    page.keyboard.press("ArrowRight")
    assert (where(page), shown(page, "grad")) == ("backward 1 of 5", ["1"])
    assert page.inner_text("#upstream") == "1"
    cells = page.eval_on_selector_all("#rows td", "all => all.map(e => e.textContent)")
    assert cells == ["q = add", "3", "-4", "-4", "z", "-4", "3", "3"]
    page.keyboard.press("End")
    assert (where(page), shown(page, "grad")) == ("backward 5 of 5", ["-4", "-4", "3", "-4", "1"])
    page.keyboard.press("ArrowRight")
    assert where(page) == "backward 5 of 5"
    page.keyboard.press("ArrowLeft")
    assert shown(page, "grad") == ["-4", "3", "-4", "1"]
    page.keyboard.press("Home")
    assert (where(page), shown(page, "value"), shown(page, "grad")) == ("forward 1 of 5", ["-2"], [])


def test_what_is_said_of_a_constant_and_of_a_leaf(opened):
    page = opened(graphs.chain(3), step=1)
    assert (page.inner_text("#what"), page.inner_text("#upstream")) == ("Forward: 1", "none: a constant")
    page.keyboard.press("ArrowRight")
    cells = page.eval_on_selector_all("#rows td", "all => all.map(e => e.textContent)")
    assert cells[4:] == ["1", "1", "none: a constant", "none: a constant"]
    assert page.inner_text("#which") == "upstream gradient"
    page.keyboard.press("End")
    assert (page.inner_text("#what"), page.inner_text("#which")) == ("Backward: x", "gradient")


def test_buttons_are_reached_by_tab_and_named(opened):
    page = opened(graphs.formula())
    names = []
    for _ in range(8):
        page.keyboard.press("Tab")
        names.append(
            page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.textContent")
        )
    wanted = ["first step", "one step back", "Play", "one step on", "last step", "step"]
    assert [name for name in names if name in wanted][:6] == wanted
    page.get_by_role("button", name="one step on").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    assert where(page) == "forward 3 of 5"
    for name, place in (("last step", "backward 5"), ("one step back", "backward 4"), ("first step", "forward 1")):
        page.get_by_role("button", name=name).click()
        assert where(page) == f"{place} of 5"


def test_play_and_pause(opened):
    page = opened(graphs.formula())
    page.clock.install()
    page.keyboard.press("Space")
    assert page.inner_text("#play") == "Pause"
    page.clock.run_for(1900)
    assert where(page) == "forward 3 of 5"
    page.keyboard.press("Space")
    page.clock.run_for(5000)
    assert where(page) == "forward 3 of 5"
    page.click("#play")
    page.clock.run_for(20000)
    assert (where(page), page.inner_text("#play")) == ("backward 5 of 5", "Play")


def test_slider_mouse_and_address(opened):
    page = opened(graphs.formula(), step=6)
    assert page.inner_text("#what") == "Backward: q = add"
    page.locator("#stage rect[data-i='0']").click()
    assert page.inner_text("#what") == "Backward: x"
    page.locator("#scrub").fill("2")
    assert page.inner_text("#what") == "Forward: z"
    assert page.get_attribute("#scrub", "aria-valuetext") == "forward 3 of 5: z"
    page.locator("#stage rect[data-i='3']").click()
    assert page.inner_text("#what") == "Forward: q = add"
    assert page.inner_text("#line") == "q = x + y"
    page.wait_for_url("**#step=3")
    page.evaluate("location.hash = '#step=9'")
    page.wait_for_function("document.getElementById('what').textContent === 'Backward: x'")


def test_parts_of_gradients_appear_with_the_step_that_makes_them(opened):
    page = opened(graphs.copied(), step=3)
    assert (shown(page, "edge"), shown(page, "grad")) == (["1"], ["1"])
    page.keyboard.press("ArrowRight")
    assert (shown(page, "edge"), shown(page, "grad")) == (["3", "3", "1"], ["1", "1"])
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#upstream") == "3 + 3 + 1 = 7"


@pytest.mark.parametrize(("number", "scheme"), list(enumerate(["light", "dark"])))
def test_light_and_dark(opened, number, scheme):
    page = opened(graphs.network(), step=16, color_scheme=scheme)

    def color(selector, what):
        found = page.eval_on_selector(selector, f"e => getComputedStyle(e).{what}")
        return "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", found)[:3])

    assert color("body", "backgroundColor") == COLORS["paper"][number]
    assert color("body", "color") == COLORS["ink"][number]
    assert color("#stage text.value", "fill") == COLORS["value"][number]
    assert color("#stage rect.fused", "fill") == COLORS["fused"][number]
    image = page.screenshot()
    assert image[:8] == b"\x89PNG\r\n\x1a\n" and len(image) > 10_000


def test_a_narrow_window_cuts_nothing_off(opened):
    network = graphs.network()
    network.nodes[-1].name, network.nodes[-1].line = "n" * 80, "a.py:1  " + "f(x)" * 20
    page = opened(network)
    page.set_viewport_size({"width": 340, "height": 600})
    for step in range(page.evaluate("steps.length")):
        page.evaluate(f"show({step})")
        wide = page.evaluate("[document.documentElement.scrollWidth, at('panel').scrollWidth, at('panel').clientWidth]")
        assert wide[0] == 340 and wide[1] == wide[2], page.inner_text("#panel")
    box = page.locator("#where").bounding_box()
    assert box["x"] + box["width"] <= 340 and page.locator("#scrub").bounding_box()["width"] > 60
    assert page.locator("#stage").bounding_box()["height"] > 100


def test_letters_are_as_wide_as_the_layout_takes_them_to_be(opened):
    page = opened(graphs.network(), step=999)
    wide = page.eval_on_selector_all(
        "#stage text",
        "all => all.map(e => e.getComputedTextLength() / (e.textContent.length * e.getAttribute('font-size')))",
    )
    assert min(wide) > 0.5 and max(wide) <= 0.62


def test_three_hundred_nodes(opened):
    page = opened(graphs.chain(301))
    assert page.evaluate("steps.length") == 301 + 151
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert where(page) == "forward 21 of 301"
    assert len(shown(page, "value")) == 11  # constants have their number in the box
    page.keyboard.press("End")
    assert (where(page), len(shown(page, "value"))) == ("backward 151 of 151", 151)
    page.keyboard.press("Home")
    assert len(shown(page, "value")) == 1
    page.locator("#scrub").fill("300")
    box = page.locator("#stage rect.now").bounding_box()
    assert 0 <= box["x"] <= 1000 - box["width"]  # the picture follows
    changed = page.evaluate(
        """async () => {
            let count = 0;
            const seen = new MutationObserver(all => { count += all.length; });
            seen.observe(stage, {subtree: true, attributes: true});
            show(301);
            await null;
            seen.disconnect();
            return count;
        }"""
    )
    assert 0 < changed < 20  # a step touches its own node and the one before, not the whole picture
