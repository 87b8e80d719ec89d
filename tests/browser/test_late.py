"""Answers and events that come late, in another order or not at all: what a page shows is what there is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import pytest

from danlu.demo.front_end import open_page
from danlu.tests.browser.datasets import ADD_NODE, folder_of
from danlu.tests.browser.test_dataset_view import PRESS
from danlu.tests.server import Server

RUN, GRID = "0123456789abcdef01234567", "e" * 24
NODE = """type => {
  app.graph.clear();
  window.node = LiteGraph.createNode(type);
  app.graph.add(node);
}"""
# Requests are answered by `answer(path)`, as far as it has an answer; `asked` are their paths.
FAKE_SERVER = """answer => {
  const real = app.api.fetchApi.bind(app.api);
  window.asked = [];
  const made = eval(answer);
  app.api.fetchApi = async (path, options) => {
    asked.push(path);
    const body = await made(path);
    return body === undefined ? real(path, options) : new Response(JSON.stringify(body));
  };
  window.tell = (kind, more) => app.api.dispatchCustomEvent(`danlu.${kind}`, {
    node: String(node.id), workflow: app.graph.id, prompt: 'p', steps: 9, name: 'mine', known: false, ...more });
  return real;
}"""
TRAINS = """async () => {
  const { panelOf } = await import('/extensions/danlu/train/panel.mjs');
  const { run } = panelOf(node) ?? {};
  return [run?.live, node.widgets.filter(({ name }) => name.startsWith('danlu_')).every(({ disabled }) => !disabled)];
}"""
LISTENERS = """async run => {
  const { runOf } = await import('/extensions/danlu/train/runs.mjs');
  return runOf(run).listeners.size;
}"""
SETTLED = "() => new Promise(done => setTimeout(done, 300))"


@pytest.fixture(scope="module")
def shared(browser: Any, server: Server) -> Iterator[Any]:
    with open_page(server, browser, "canvas") as page:
        page.evaluate("() => (window.fetchApi = app.api.fetchApi)")
        yield page
        assert page.errors == []


@pytest.fixture
def late(shared: Any) -> Iterator[Any]:
    yield shared
    shared.evaluate("() => (app.api.fetchApi = window.fetchApi)")


def test_an_old_answer_ends_no_run_that_has_begun(late: Any) -> None:
    late.evaluate(NODE, "DanluTrainLoRA")
    late.evaluate(
        FAKE_SERVER,
        f"""path => {{
          if (path !== '/danlu/train') return undefined;
          const isFirst = asked.filter(each => each === path).length === 1;
          if (isFirst) tell('run', {{ run: '{RUN}' }});
          return {{ now: isFirst ? null : {{ run: '{RUN}', node: String(node.id), workflow: app.graph.id, name: 'mine',
            known: false, steps: 9 }} }};
        }}""",
    )
    late.evaluate("() => app.api.dispatchCustomEvent('reconnected')")
    late.evaluate(SETTLED)
    assert late.evaluate(TRAINS) == [True, True]
    late.evaluate("run => tell('end', { run })", RUN)
    assert late.evaluate(TRAINS) == [False, False]


def test_a_graph_that_is_left_keeps_nothing_of_its_nodes(late: Any) -> None:
    late.evaluate(NODE, "DanluTrainLoRA")
    late.evaluate(FAKE_SERVER, "() => undefined")
    inner = """() => {
      const { subgraph, node: outer } = app.graph.convertToSubgraph(new Set([node]));
      window.node = subgraph.nodes[0];
      return `${outer.id}:${node.id}`;
    }"""
    place = late.evaluate(inner)
    before = late.evaluate(LISTENERS, RUN)
    late.evaluate("([node, run]) => tell('run', { run, node })", [place, RUN])
    assert late.evaluate(LISTENERS, RUN) == before + 1
    late.evaluate("() => app.graph.clear()")
    late.evaluate("run => tell('checkpoint', { run, step: 3, validation: {} })", RUN)
    assert late.evaluate(LISTENERS, RUN) == 0


def test_a_grid_is_read_again_after_a_lost_connection(late: Any) -> None:
    late.evaluate(NODE, "DanluGrid")
    late.evaluate(
        FAKE_SERVER,
        """path => {
          if (path.startsWith('/danlu/grids?')) return { grids: [] };
          if (!path.startsWith('/danlu/grids/')) return undefined;
          const reads = asked.filter(each => each.startsWith('/danlu/grids/')).length;
          const cell = n => ({ n, at: { checkpoint: n ? 'constructor' : 'b' }, label: 'x', pictures: [], kind: 'run',
            state: n < reads - 1 ? 'done' : 'missing', caption: '', kept: '', pinned: false });
          return { name: 'mine', axes: [{ name: 'checkpoint', values: ['b', 'constructor'] }], cells: [0, 1].map(cell),
            running: true, prompt: 'p', summary: '' };
        }""",
    )
    late.evaluate("grid => tell('cell', { grid, what: 'now', n: 0 })", GRID)
    late.evaluate(SETTLED)
    text = "() => document.querySelector('.danlu-grid-panel .danlu-grid-about').textContent"
    assert late.evaluate(text).startswith("0 of 2")
    late.evaluate("() => app.api.dispatchCustomEvent('reconnected')")
    late.evaluate(SETTLED)
    assert late.evaluate(text).startswith("1 of 2")
    assert late.locator('.danlu-grid-dot[data-n="1"]').get_attribute("title") == "constructor"


def test_a_run_that_ends_before_it_is_known_opens_the_dataset(late: Any, server: Server) -> None:
    folder = folder_of(server, "quick", {"1": "red hair"})
    late.evaluate("() => app.graph.clear()")
    load = late.evaluate(ADD_NODE, ["DanluLoadDataset", {"folder": folder.name}])
    edit = late.evaluate(ADD_NODE, ["DanluEditTags", {"remove": "rain"}])
    late.evaluate(
        """([load, edit]) => {
          const node = id => app.graph.getNodeById(id);
          node(load).connect(0, node(edit), node(edit).findInputSlot('dataset'));
          const real = app.api.queuePrompt.bind(app.api);
          app.api.queuePrompt = async (...given) => {
            const ended = new Promise(done => app.api.addEventListener('execution_success', done, { once: true }));
            const answer = await real(...given);
            await ended;
            return answer;
          };
        }""",
        [load, edit],
    )
    late.evaluate(PRESS, edit)
    late.get_by_role("button", name="Run up to here").click()
    late.locator(".danlu-card[data-n]").first.wait_for()


@pytest.mark.parametrize("file", ["parts/dom.mjs", "words/en.json", "train.js"])
def test_an_old_file_of_the_pages_is_not_kept(file: str, server: Server) -> None:
    with urlopen(f"{server.url}/extensions/danlu/{file}") as answer:
        assert answer.headers["Cache-Control"] in ("no-cache", "no-store")
