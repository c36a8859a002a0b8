// The table that sorts and filters, and the drawings of the runs that are left. Texts of people go into the page as text alone.
const $ = (selector, from = document) => from.querySelector(selector)
const $$ = (selector, from = document) => [...from.querySelectorAll(selector)]
const SHOWN_AT_FIRST = 200, MOST_LINES = 400

async function unpack(id) {
  const bytes = Uint8Array.from(atob($(id).textContent), char => char.charCodeAt(0))
  const text = new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text()
  $(id).remove()
  return text
}

function element(name, text, kind) {
  const made = document.createElement(name)
  if (text !== undefined) made.textContent = text
  if (kind) made.className = kind
  return made
}

const state = { metric: 0, colour: -1, kept: [], picked: new Set(), sort: null, down: false, all: false, shown: new Set() }
let data, columns

// ---- columns of the table -----------------------------------------------------------------------------------------

function makeColumns() {
  const { run, name, status, user, started, seconds } = data.runs
  const own = (name, values, number) => ({ name, values, number, odd: {}, group: "" })
  columns = [
    own("run", run), own("name", name), own("status", status),
    ...data.metrics.map(metric => ({ ...metric, group: "metrics" })),
    ...data.params.map(param => ({ ...param, group: "parameters" })),
    own("user", user), own("started", started), own("seconds", seconds, true),
  ]
  const metrics = columns.filter(column => column.group === "metrics").slice(0, 4)
  const drawn = data.panels.slice(0, 10).map(number => columns[3 + data.metrics.length + number])
  const several = new Set(user).size > 1 ? [columns.at(-3)] : []
  for (const column of [...columns.slice(0, 3), ...metrics, ...drawn, ...several, ...columns.slice(-2)]) state.shown.add(column)
}

const textOf = (column, place) => {
  const value = column.odd[place] ?? column.values[place]
  if (value === null || value === undefined) return ""
  return typeof value === "number" ? String(+value.toPrecision(4)) : String(value)
}

// ---- filter: words, and comparisons such as lr<0.01 ------------------------------------------------------------------

function readFilter(text) {
  const tests = []
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const [, name, sign, wanted] = /^([^<>=!]+)(<=|>=|!=|=|<|>)(.*)$/.exec(word) ?? []
    if (!name) {
      tests.push(place => haystack(place).includes(word.toLowerCase()))
      continue
    }
    const column = columns.find(one => one.name === name) ?? columns.find(one => one.name.endsWith("." + name))
    if (!column) throw new Error(`no column ${name}`)
    const number = wanted === "" ? NaN : Number(wanted)
    tests.push(place => compare(column.values[place], textOf(column, place), sign, wanted, number))
  }
  return place => tests.every(test => test(place))
}

function compare(value, text, sign, wanted, number) {
  const both = typeof value === "number" && !Number.isNaN(number)
  const same = both ? value === number || text === wanted : text === wanted
  if (sign === "=") return same
  if (sign === "!=") return !same
  const [left, right] = both ? [value, number] : [text, wanted]
  if (value === null || typeof value === "number" !== both) return false
  return sign === "<" ? left < right : sign === "<=" ? left <= right : sign === ">" ? left > right : left >= right
}

const haystacks = new Map()
function haystack(place) {
  if (!haystacks.has(place)) haystacks.set(place, columns.map(column => textOf(column, place)).join("\n").toLowerCase())
  return haystacks.get(place)
}

function filter() {
  const said = $("#said"), all = data.runs.run.length
  try {
    const test = readFilter($("[name=filter]").value)
    state.kept = data.runs.run.map((_, place) => place).filter(test)
    said.className = ""
    said.textContent = state.kept.length === all ? `${all} runs` : `${state.kept.length} of ${all} runs`
  } catch (error) {
    said.className = "wrong"
    said.textContent = error.message
    return
  }
  sortRows()
  drawTable()
  redraw()
}

// ---- table ------------------------------------------------------------------------------------------------------------

function sortRows() {
  const { values, odd } = state.sort, sign = state.down ? -1 : 1
  const none = place => values[place] === null || place in odd
  state.kept.sort((a, b) => {
    if (none(a) || none(b)) return none(a) - none(b) || a - b  // last, whichever way
    return (values[a] < values[b] ? -sign : values[a] > values[b] ? sign : 0) || a - b
  })
}

function drawTable() {
  const shown = columns.filter(column => state.shown.has(column))
  const head = element("tr")
  for (const column of shown) {
    const cell = element("th", undefined, column.number ? "n" : ""), button = element("button", column.name)
    cell.scope = "col"
    button.title = column.name
    if (column === state.sort) cell.ariaSort = state.down ? "descending" : "ascending"
    button.onclick = () => {
      state.down = column === state.sort ? !state.down : column.lower === false
      state.sort = column
      sortRows()
      drawTable()
    }
    cell.append(button)
    head.append(cell)
  }
  $("#runs thead").replaceChildren(head)
  const places = state.all ? state.kept : state.kept.slice(0, SHOWN_AT_FIRST)
  $("#runs tbody").replaceChildren(...places.map(place => tableRow(place, shown)))
  const more = $(".more")
  more.hidden = places.length === state.kept.length
  more.textContent = `show all ${state.kept.length}`
}

function tableRow(place, shown) {
  const row = element("tr", undefined, state.picked.has(place) ? "picked" : "")
  for (const column of shown) {
    const text = textOf(column, place)
    const cell = element("td", undefined, column.number ? "n" : "")
    const inner = element(column.name === "run" ? "code" : column.name === "status" ? "span" : "bdi", text)
    if (column.name === "status") {
      inner.className = text
      cell.title = data.runs.error[place]
    } else if (text.length > 30) cell.title = text
    cell.append(inner)
    row.append(cell)
  }
  row.onclick = () => getSelection().isCollapsed && pick(place)
  return row
}

function pick(place) {
  state.picked.has(place) ? state.picked.delete(place) : state.picked.add(place)
  drawTable()
  redraw()
}

function offerColumns() {
  const list = $(".columns div")
  for (const column of columns) {
    const label = element("label"), box = element("input")
    box.type = "checkbox"
    box.checked = state.shown.has(column)
    box.onchange = () => {
      box.checked ? state.shown.add(column) : state.shown.delete(column)
      drawTable()
    }
    label.append(box, element("bdi", column.name))
    list.append(label)
  }
}

// ---- drawings ---------------------------------------------------------------------------------------------------------

const metric = () => data.metrics[state.metric]
const about = place => ({ place, run: data.runs.run[place], name: data.runs.name[place], picked: state.picked.has(place) })

// Of very many runs every nth in the order of the table, those that were clicked always; the page says so.
function lines() {
  const nth = Math.ceil(state.kept.length / MOST_LINES)
  const kept = state.kept.filter((place, index) => index % nth === 0 || state.picked.has(place))
  for (const said of $$(".lines")) said.textContent = nth > 1 ? `Drawn: ${kept.length} of ${state.kept.length} runs.` : ""
  return kept
}

const ROWS = {
  curves() {
    const kept = new Set(lines()), colour = data.params[state.colour]
    return (metric()?.curves ?? []).filter(([place]) => kept.has(place)).flatMap(([place, steps, values]) => {
      const c = colour ? colour.values[place] ?? "none" : data.runs.run[place]
      const shared = { ...about(place), c }
      return values.map((value, index) => ({ ...shared, step: data.steps[steps][index], value }))
    })
  },
  panel(number) {
    const { values } = data.params[data.panels[number]], of = metric().values
    return state.kept.filter(place => values[place] !== null && of[place] !== null)
      .map(place => ({ ...about(place), x: values[place], y: of[place] }))
  },
  parallel() {
    const axes = [...data.axes.map(number => data.params[number]), metric()]
    return lines().filter(place => metric().values[place] !== null).flatMap(place => axes.map(axis => (
      { ...about(place), axis: axis.name, at: axis.places[place], label: textOf(axis, place), y: metric().values[place] })))
  },
  history() {
    const { values, lower } = metric(), kept = new Set(state.kept)
    let best = null
    return values.flatMap((y, place) => {
      if (y === null) return []
      if (data.runs.status[place] === "finished" && lower !== null) best = best === null ? y : lower ? Math.min(best, y) : Math.max(best, y)
      return kept.has(place) ? [{ ...about(place), at: place + 1, y, best }] : []
    })
  },
  importance() {
    return data.params.map((param, number) => ({ param: param.name, value: metric().importances[number], chance: data.chances[number] }))
      .filter(row => row.value !== null).sort((a, b) => b.value - a.value).slice(0, data.mostBars)
  },
  groups() {
    const kept = new Set(state.kept.map(place => data.runs.run[place]))
    return data.groups.filter(row => kept.has(row.run))
  },
  hours() {
    const known = ["finished", "running", "interrupted", "paused", "failed"]
    return state.kept.map(place => ({ user: data.runs.user[place], hours: (data.runs.seconds[place] ?? 0) / 3600,
      status: known.includes(data.runs.status[place]) ? data.runs.status[place] : "other" }))
  },
}

const SPEC = {
  curves(spec) {
    const colour = data.params[state.colour], { encoding } = spec
    if (metric().far) encoding.y.scale = { type: "log" }
    if (!colour) encoding.color.legend = null
    else if (colour.number) encoding.color = { field: "c", type: "quantitative", title: colour.name,
      scale: { range: COLOURS.range, ...(colour.log ? { type: "log" } : {}) }, legend: { ...encoding.color.legend, title: colour.name } }
    else encoding.color.legend.title = colour.name
    if (!metric().curves.some(([, , values]) => values.length > 1)) spec.mark.point = true  // of one step there is no line
  },
  parallel(spec) {
    const ticks = metric().ticks.map(([at, label]) => ({ axis: metric().name, at, label }))
    for (const layer of spec.layer) if (layer.data?.name === "ticks") {
      layer.data.values.push(...ticks)
    }
  },
}

function colourOf(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name.slice(4, -1)).trim()
}

function specOf(figure, rows) {
  const { chart, number } = figure.dataset
  let text = JSON.stringify(number === undefined ? data.specs[chart] : data.specs.panels[number])
  text = text.replaceAll(METRIC, JSON.stringify(metric()?.name ?? "").slice(1, -1))
  for (const [name, own] of Object.entries(COLOURS.names)) text = text.replaceAll(name, colourOf(own))
  const spec = JSON.parse(text)
  spec.data = { name: "rows", values: rows }
  for (const param of spec.params ?? []) param.value = state.picked.size ? 0.12 : Math.max(0.12, Math.min(0.85, 40 / state.kept.length))
  const size = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16
  for (const part of ["axis", "legend"]) for (const one of ["labelFontSize", "titleFontSize"]) spec.config[part][one] *= size
  spec.config.text.fontSize *= size
  const { step, of } = spec.height
  spec.height = size * (of ? step * new Set(rows.map(row => row[of])).size : spec.height)
  SPEC[chart]?.(spec)
  // On a phone axes that lie too close to be read are scrolled.
  if (chart === "parallel") {
    spec.width = Math.max(figure.clientWidth, 6 * 16 * size * (data.axes.length + 1))
    spec.encoding.x.axis.labelLimit = 0.9 * spec.width / (data.axes.length + 1)
  }
  return spec
}

const drawn = new Map()
async function draw(figure) {
  const rows = ROWS[figure.dataset.chart](figure.dataset.number)
  const before = drawn.get(figure)
  figure.hidden = !rows.length
  const empty = figure.nextElementSibling
  if (empty?.className === "empty") empty.hidden = rows.length > 0
  before?.finalize()
  drawn.delete(figure)
  figure.style.minHeight = `${figure.clientHeight}px`  // what stands below stays where it is
  if (!rows.length) return
  const options = { actions: false, defaultStyle: false, renderer: "canvas", tooltip: { disableDefaultStyle: true }, loader: { load: () => { throw new Error } } }
  const result = await vegaEmbed(figure, specOf(figure, rows), options)
  figure.style.minHeight = ""
  drawn.set(figure, result)
  result.view.addEventListener("click", (_, item) => item?.datum?.place !== undefined && pick(item.datum.place))
}

const waiting = new Set(), seen = new Set()
const observer = new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) {
    isIntersecting ? seen.add(target) : seen.delete(target)
    if (isIntersecting && waiting.has(target)) drawSoon()
  }
}, { rootMargin: "200px" })

let busy = Promise.resolve(), planned = 0
function drawSoon() {
  clearTimeout(planned)
  planned = setTimeout(() => {
    busy = busy.then(async () => {
      for (const figure of [...waiting]) if (seen.has(figure)) {
        waiting.delete(figure)
        await draw(figure).catch(console.error)  // the others are drawn all the same
      }
    })
  }, 60)
}

function redraw() {
  for (const figure of $$("figure[data-chart]")) waiting.add(figure)
  for (const table of $$(".ranking")) table.hidden = table.dataset.metric !== metric()?.name
  drawSoon()
}

// ---- start --------------------------------------------------------------------------------------------------------------

function offerColours() {
  const select = $("[name=colour]")
  if (!select) return
  select.append(new Option("each run", -1))
  for (const number of data.panels) select.append(new Option(data.params[number].name, number))
  if (data.runs.run.length > 10 && data.panels.length) state.colour = data.panels[0]
  select.value = state.colour
  select.onchange = () => {
    state.colour = +select.value
    redraw()
  }
}

async function start() {
  data = JSON.parse(await unpack("#data"))
  document.head.append(element("script", `(() => {${await unpack("#vega")}\n})()`))  // its names are its own
  makeColumns()
  const first = columns[3]
  state.sort = data.metrics.length ? first : columns[0]
  state.down = data.metrics.length > 0 && !first.lower
  offerColumns()
  offerColours()
  const chosen = $("[name=metric]")
  chosen.onchange = () => {
    state.metric = +chosen.value
    state.sort = columns[3 + state.metric]
    state.down = !state.sort.lower
    state.shown.add(state.sort)
    filter()
  }
  let typed
  $("[name=filter]").oninput = () => {
    clearTimeout(typed)
    typed = setTimeout(filter, 150)
  }
  $(".more").onclick = () => {
    state.all = true
    drawTable()
  }
  for (const form of $$("form")) {
    form.hidden = false
    form.onsubmit = event => event.preventDefault()
  }
  document.documentElement.classList.add("live")
  for (const figure of $$("figure[data-chart]")) observer.observe(figure)
  matchMedia("(prefers-color-scheme: dark)").onchange = redraw
  let width = innerWidth
  addEventListener("resize", () => {
    if (innerWidth !== width) redraw()  // not when a phone's keyboard appears
    width = innerWidth
  })
  filter()
}

start().catch(error => {
  $("#said").textContent = `this browser cannot draw it anew: ${error.message}`
})
