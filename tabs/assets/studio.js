// The page's scripts, in the order in which they are needed.

import { feed } from "./feed.js";
import { startAddresses } from "./addresses.js";
import { startDraft } from "./draft.js";
import { startForm } from "./form.js";
import { startGradioWords } from "./gradio_words.js";
import { startTheme } from "./theme.js";
import { startShortcuts } from "./shortcuts.js";
import { startTips } from "./tip.js";
import "./fields.js";
import "./chip.js";
import "./header.js";
import "./engine_work.js";
import "./making.js";
import "./starting.js";
import "./workflows.js";
import "./counting.js";
import "./stage.js";
import "./tray.js";
import "./gallery.js";
import "./analytics.js";
import { warmCharts } from "./charts.js";
import "./characters.js";
import "./training.js";
import { startSetup } from "./setup.js";
import { startSidebar } from "./sidebar.js";

startGradioWords();
startTheme();
startTips();
startShortcuts();
startForm();
startDraft();
startAddresses();
startSidebar();
feed.start();
startSetup();
warmCharts();
