/**
 * A service as a task of the Windows Task Scheduler, which starts it when its user logs on, with that user's rights and
 * no more (schema http://schemas.microsoft.com/windows/2004/02/mit/task). Pure.
 *
 * A task has no variables of its own, and no log: what it writes goes to the window that Windows opens for it.
 */
import * as Either from "effect/Either"
import { check, type Definition, mark } from "./Definition.ts"
import * as Quoting from "./Quoting.ts"
import type { ServiceError } from "./ServiceError.ts"

/** What the Task Scheduler calls a service. */
export const taskName = (name: string): string => `\\Tela\\${name}`

/** The text of the task for the user `DOMAIN\\name`; fails when it cannot be told what is in the definition. */
export const task = (definition: Definition, user: string): Either.Either<string, ServiceError> =>
  Either.gen(function* () {
    yield* check(definition)
    const { command, description, folder, name, program } = definition
    const [executable = "", ...args] = yield* Either.all(command.map(Quoting.taskWord))
    yield* Quoting.taskWord(folder)
    return [
      '<?xml version="1.0" encoding="UTF-16"?>',
      `<!-- ${mark(program)} -->`,
      '<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">',
      "  <RegistrationInfo>",
      `    <Description>${Quoting.xml(description)}</Description>`,
      `    <URI>${Quoting.xml(taskName(name))}</URI>`,
      "  </RegistrationInfo>",
      "  <Triggers>",
      "    <LogonTrigger>",
      `      <UserId>${Quoting.xml(user)}</UserId>`,
      "    </LogonTrigger>",
      "  </Triggers>",
      "  <Principals>",
      '    <Principal id="Author">',
      `      <UserId>${Quoting.xml(user)}</UserId>`,
      "      <LogonType>InteractiveToken</LogonType>",
      "      <RunLevel>LeastPrivilege</RunLevel>",
      "    </Principal>",
      "  </Principals>",
      "  <Settings>",
      "    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>",
      "    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>",
      "    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>",
      "    <StartWhenAvailable>true</StartWhenAvailable>",
      "    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>",
      "    <RestartOnFailure>",
      "      <Interval>PT1M</Interval>",
      "      <Count>255</Count>",
      "    </RestartOnFailure>",
      "  </Settings>",
      '  <Actions Context="Author">',
      "    <Exec>",
      `      <Command>${Quoting.xml(executable)}</Command>`,
      `      <Arguments>${Quoting.xml(args.join(" "))}</Arguments>`,
      `      <WorkingDirectory>${Quoting.xml(folder)}</WorkingDirectory>`,
      "    </Exec>",
      "  </Actions>",
      "</Task>",
      ""
    ].join("\r\n")
  })
